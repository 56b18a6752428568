/** `jobs get` */
import type { Command } from "commander";
import { type Job, JobSchema, JobStatus, JobStatusSchema } from "../../gen/aibroker/v1/job_pb.ts";
import { withBroker } from "../connection.ts";
import { enumName, messageJson, print, printJson } from "../output.ts";
import { oneLine } from "../text.ts";
import { ago, iso } from "../time.ts";

export function addJobsGet(jobs: Command): void {
  jobs
    .command("get")
    .description("Show one job with its payload and result.")
    .argument("<id>", "the job's id")
    .option("--json", "print the API's Job as JSON")
    .addHelpText(
      "after",
      `
Examples:
  $ ai-job-broker jobs get 0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b
  $ ai-job-broker jobs get my-own-id --json | jq -r .result.resultJson`,
    )
    .action(async (id: string, options: { json?: boolean }) => {
      const { job } = await withBroker((broker) => broker.jobs.getJob({ jobId: id }));
      if (job === undefined) return;
      if (options.json) printJson(messageJson(JobSchema, job));
      else print(describe(job));
    });
}

function describe(job: Job): string {
  const facts = job.job;
  const lines: [string, string][] = [
    ["id", facts?.id ?? ""],
    ["type", facts?.type ?? ""],
    ["status", enumName(JobStatusSchema, job.status) + (job.cancelRequestedAt ? " (cancel requested)" : "")],
    ["attempts", `${job.attemptCount} of ${facts?.maxAttempts}, handed out ${job.deliveries} times`],
    ["priority", String(facts?.priority)],
    ["tenant", facts?.tenantId ?? ""],
    ["source", [facts?.sourceDomain, facts?.sourceId].filter(Boolean).join(" ")],
    ["idempotency key", facts?.idempotencyKey ?? ""],
    ["worker", job.lockedBy],
    [
      "progress",
      [job.progress?.percent, job.progress?.note].filter((part) => part !== undefined && part !== "").join(" "),
    ],
    ["created", when(iso(facts?.createdAt), ago(facts?.createdAt))],
    ["run at", when(iso(facts?.runAt), ago(facts?.runAt))],
    // The column stays as it was when the job ends, as in the Django app.
    ["lease ends", job.status === JobStatus.RUNNING ? when(iso(job.leaseExpiresAt), ago(job.leaseExpiresAt)) : ""],
    ["finished", when(iso(job.finishedAt), ago(job.finishedAt))],
    ["cancel reason", job.cancelReason],
    ["last error", job.lastError],
  ];
  const shown = lines.filter(([, value]) => value !== "").map(([name, value]) => `${name.padEnd(16)}${oneLine(value)}`);
  shown.push(`${"payload".padEnd(16)}${oneLine(facts?.payloadJson ?? "")}`);
  if (job.result) shown.push(`${"result".padEnd(16)}${oneLine(job.result.resultJson) || "none"}`);
  return shown.join("\n");
}

function when(time: string, distance: string): string {
  return time === "" ? "" : `${time} (${distance})`;
}
