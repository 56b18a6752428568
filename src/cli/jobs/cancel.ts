/** `jobs cancel` */
import type { Command } from "commander";
import { JobStatus, JobStatusSchema } from "../../gen/aibroker/v1/job_pb.ts";
import { type CancelJobResult, CancelJobResultSchema, CancelStatus } from "../../gen/aibroker/v1/job_service_pb.ts";
import { withBroker } from "../connection.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { batches, readIds } from "../options.ts";
import { enumName, messageJson, print, printJson } from "../output.ts";
import { oneLine } from "../text.ts";

export function addJobsCancel(jobs: Command, done: (code: ExitCode) => void): void {
  jobs
    .command("cancel")
    .description("End jobs: a pending one at once, a running one when its worker stops or after CANCEL_GRACE_MS.")
    .argument("<ids...>", "job ids; - reads one per line from stdin")
    .option("--reason <text>", "told to the worker and kept with the job")
    .option("--json", "print the API's answer as JSON")
    .addHelpText(
      "after",
      `
Examples:
  $ ai-job-broker jobs cancel 0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b --reason "wrong scan"
  $ ai-job-broker jobs list -s pending -t ocr --json | jq -r '.jobs[].job.id' | ai-job-broker jobs cancel -

Exits 3 when a job was not found or had ended otherwise before.`,
    )
    .action(async (given: string[], options: { reason?: string; json?: boolean }) => {
      const results = await cancel(await readIds(given), options.reason ?? "");
      if (options.json) printJson({ results: results.map((one) => messageJson(CancelJobResultSchema, one)) });
      else for (const result of results) print(`${oneLine(result.jobId)}  ${words(result)}`);
      done(results.every(isCancelled) ? EXIT.ok : EXIT.notDone);
    });
}

function cancel(ids: string[], reason: string): Promise<CancelJobResult[]> {
  return withBroker(async (broker) => {
    const results: CancelJobResult[] = [];
    for (const jobIds of batches(ids)) results.push(...(await broker.jobs.cancelJobs({ jobIds, reason })).results);
    return results;
  });
}

function isCancelled(result: CancelJobResult): boolean {
  return result.status === CancelStatus.REQUESTED || result.jobStatus === JobStatus.CANCELLED;
}

function words(result: CancelJobResult): string {
  switch (result.status) {
    case CancelStatus.CANCELLED:
      return "cancelled";
    case CancelStatus.REQUESTED:
      return "running: its worker is told to stop";
    case CancelStatus.NOT_FOUND:
      return "no such job";
    default:
      return `unchanged: it is ${enumName(JobStatusSchema, result.jobStatus)}`;
  }
}
