/** `jobs priority` */
import type { Command } from "commander";
import { type UpdateJobResult, UpdateJobResultSchema, UpdateStatus } from "../../gen/aibroker/v1/admin_service_pb.ts";
import { JobStatusSchema } from "../../gen/aibroker/v1/job_pb.ts";
import { withBroker } from "../connection.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { batches, parseWhole, readIds } from "../options.ts";
import { enumName, messageJson, print, printJson } from "../output.ts";
import { oneLine } from "../text.ts";

export function addJobsPriority(jobs: Command, done: (code: ExitCode) => void): void {
  jobs
    .command("priority")
    .description("Give pending jobs another priority, -1000..1000; the smaller goes first.")
    .argument("<ids...>", "job ids; - reads one per line from stdin")
    .requiredOption("--to <number>", "the priority that they get", parseWhole)
    .option("--json", "print the API's answer as JSON")
    .addHelpText(
      "after",
      `
Examples:
  $ ai-job-broker jobs priority --to -10 0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b
  $ ai-job-broker jobs list -s pending --tenant t1 --json | jq -r '.jobs[].job.id' | ai-job-broker jobs priority --to 5 -

Exits 3 when a job was not found or is not pending.`,
    )
    .action(async (given: string[], options: { to: number; json?: boolean }) => {
      const results = await update(await readIds(given), options.to);
      if (options.json) printJson({ results: results.map((one) => messageJson(UpdateJobResultSchema, one)) });
      else for (const result of results) print(`${oneLine(result.jobId)}  ${words(result, options.to)}`);
      done(results.every((one) => one.status === UpdateStatus.UPDATED) ? EXIT.ok : EXIT.notDone);
    });
}

function update(ids: string[], priority: number): Promise<UpdateJobResult[]> {
  return withBroker(async (broker) => {
    const results: UpdateJobResult[] = [];
    for (const jobIds of batches(ids)) results.push(...(await broker.admin.updateJobs({ jobIds, priority })).results);
    return results;
  });
}

function words(result: UpdateJobResult, priority: number): string {
  if (result.status === UpdateStatus.UPDATED) return `priority ${priority}`;
  if (result.status === UpdateStatus.NOT_FOUND) return "no such job";
  return `unchanged: it is ${enumName(JobStatusSchema, result.jobStatus)}`;
}
