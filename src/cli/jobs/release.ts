/** `jobs release` */
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  type ReleaseJobResult,
  ReleaseJobResultSchema,
  ReleaseJobStatus,
} from "../../gen/aibroker/v1/admin_service_pb.ts";
import { JobStatus, JobStatusSchema } from "../../gen/aibroker/v1/job_pb.ts";
import { withBroker } from "../connection.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { batches, readIds } from "../options.ts";
import { enumName, messageJson, print, printJson } from "../output.ts";
import { oneLine } from "../text.ts";
import { parseDurationMs } from "../time.ts";

interface Options {
  reason?: string;
  delay?: number;
  json?: boolean;
}

export function addJobsRelease(jobs: Command, done: (code: ExitCode) => void): void {
  jobs
    .command("release")
    .description("Take running jobs from their workers; they are pending again, with the attempt not spent.")
    .argument("<ids...>", "job ids; - reads one per line from stdin")
    .option("--reason <text>", "told with the event")
    .option("--delay <duration>", "not to be claimed again before, for example 10m", parseDurationMs)
    .option("--json", "print the API's answer as JSON")
    .addHelpText(
      "after",
      `
Examples:
  $ ai-job-broker jobs release 0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b --reason "its GPU is gone"
  $ ai-job-broker jobs list -s running --worker gpu-3 --json | jq -r '.jobs[].job.id' | ai-job-broker jobs release -

Exits 3 when a job was not found or was not running.`,
    )
    .action(async (given: string[], options: Options) => {
      const results = await release(await readIds(given), options);
      if (options.json) printJson({ results: results.map((one) => messageJson(ReleaseJobResultSchema, one)) });
      else for (const result of results) print(`${oneLine(result.jobId)}  ${words(result)}`);
      done(results.every((one) => one.status === ReleaseJobStatus.RELEASED) ? EXIT.ok : EXIT.notDone);
    });
}

function release(ids: string[], { reason = "", delay }: Options): Promise<ReleaseJobResult[]> {
  const more = { reason, ...(delay === undefined ? {} : { delay: durationFromMs(delay) }) };
  return withBroker(async (broker) => {
    const results: ReleaseJobResult[] = [];
    for (const jobIds of batches(ids)) results.push(...(await broker.admin.releaseJobs({ jobIds, ...more })).results);
    return results;
  });
}

function words(result: ReleaseJobResult): string {
  const status = enumName(JobStatusSchema, result.jobStatus);
  if (result.status === ReleaseJobStatus.NOT_FOUND) return "no such job";
  if (result.status !== ReleaseJobStatus.RELEASED) return `unchanged: it is ${status}`;
  return result.jobStatus === JobStatus.PENDING ? "pending again" : `taken from its worker: it is ${status}`;
}
