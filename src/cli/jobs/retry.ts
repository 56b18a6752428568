/** `jobs retry` */
import type { Command } from "commander";
import { JobStatusSchema } from "../../gen/aibroker/v1/job_pb.ts";
import { type RetryJobResult, RetryJobResultSchema, RetryStatus } from "../../gen/aibroker/v1/job_service_pb.ts";
import { withBroker } from "../connection.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { batches, readIds } from "../options.ts";
import { enumName, messageJson, print, printJson } from "../output.ts";
import { oneLine } from "../text.ts";

export function addJobsRetry(jobs: Command, done: (code: ExitCode) => void): void {
  jobs
    .command("retry")
    .description("Send FAILED and CANCELLED jobs back to PENDING with a fresh attempt budget.")
    .argument("<ids...>", "job ids; - reads one per line from stdin")
    .option("--json", "print the API's answer as JSON")
    .addHelpText(
      "after",
      `
Examples:
  $ ai-job-broker jobs retry 0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b
  $ ai-job-broker jobs list -s failed --since -1h --json | jq -r '.jobs[].job.id' | ai-job-broker jobs retry -

Exits 3 when a job was not found or is neither FAILED nor CANCELLED.`,
    )
    .action(async (given: string[], options: { json?: boolean }) => {
      const results = await retry(await readIds(given));
      if (options.json) printJson({ results: results.map((one) => messageJson(RetryJobResultSchema, one)) });
      else for (const result of results) print(`${oneLine(result.jobId)}  ${words(result)}`);
      done(results.every((one) => one.status === RetryStatus.RETRIED) ? EXIT.ok : EXIT.notDone);
    });
}

function retry(ids: string[]): Promise<RetryJobResult[]> {
  return withBroker(async (broker) => {
    const results: RetryJobResult[] = [];
    for (const jobIds of batches(ids)) results.push(...(await broker.jobs.retryJobs({ jobIds })).results);
    return results;
  });
}

function words(result: RetryJobResult): string {
  if (result.status === RetryStatus.RETRIED) return "pending again";
  if (result.status === RetryStatus.NOT_FOUND) return "no such job";
  return `unchanged: it is ${enumName(JobStatusSchema, result.jobStatus)}, and only FAILED and CANCELLED are retried`;
}
