/** `jobs list` */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Command, InvalidArgumentError } from "commander";
import { type Job, JobSchema, JobStatus, JobStatusSchema } from "../../gen/aibroker/v1/job_pb.ts";
import { type ListJobsRequest, ListJobsRequestSchema } from "../../gen/aibroker/v1/job_service_pb.ts";
import { type Connection, withBroker } from "../connection.ts";
import { listOf, parseCount } from "../options.ts";
import { enumName, messageJson, print, printJson, say } from "../output.ts";
import { oneLine, shorten, table, widthOf } from "../text.ts";
import { ago, parseTime } from "../time.ts";

interface Options {
  status?: JobStatus[];
  type?: string[];
  tenant?: string;
  sourceDomain?: string;
  sourceId?: string;
  worker?: string;
  error?: string;
  since?: Date;
  until?: Date;
  limit: number;
  json?: boolean;
}

const LARGEST_PAGE = 500;

export function addJobsList(jobs: Command): void {
  jobs
    .command("list")
    .alias("ls")
    .description("List jobs, the newest first, without their payloads and results.")
    .option("-s, --status <statuses>", "pending, running, done, failed, cancelled; several with commas", parseStatuses)
    .option("-t, --type <types>", "job types; several with commas", listOf)
    .option("--tenant <id>", "jobs of one tenant")
    .option("--source-domain <name>", "jobs that one part of the producer's system asked for")
    .option("--source-id <id>", "jobs about one thing of it")
    .option("--worker <id>", "jobs that this worker holds or held last")
    .option("--error <text>", "jobs whose last error contains this, in any case")
    .option("--since <time>", "created at or after: 2026-01-31T09:00:00Z, or -1h", (text) => parseTime(text))
    .option("--until <time>", "created before", (text) => parseTime(text))
    .option("-n, --limit <count>", "at most so many jobs", parseCount, 50)
    .option("--json", "print JSON: {jobs, more}")
    .addHelpText(
      "after",
      `
Examples:
  $ ai-job-broker jobs list
  $ ai-job-broker jobs list --status failed --type ocr --since -1h
  $ ai-job-broker jobs list -s failed -n 1000 --json | jq -r '.jobs[].job.id' | ai-job-broker jobs retry -`,
    )
    .action(listJobs);
}

async function listJobs(options: Options): Promise<void> {
  const { jobs, more } = await withBroker((broker) => pages(broker, requestOf(options), options.limit));
  if (options.json) return printJson({ jobs: jobs.map((job) => messageJson(JobSchema, job)), more });
  if (jobs.length === 0) return say("No such jobs.");
  print(tableOfJobs(jobs, process.stdout.columns));
  if (more) say(`The newest ${jobs.length}; there are more: --limit, or filters (see --help).`);
}

async function pages(broker: Connection, request: ListJobsRequest, limit: number) {
  const jobs: Job[] = [];
  while (true) {
    request.pageSize = Math.min(LARGEST_PAGE, limit - jobs.length);
    const page = await broker.jobs.listJobs(request);
    jobs.push(...page.jobs);
    request.pageToken = page.nextPageToken;
    if (page.nextPageToken === "" || jobs.length >= limit) return { jobs, more: page.nextPageToken !== "" };
  }
}

function requestOf(options: Options): ListJobsRequest {
  const request = create(ListJobsRequestSchema, { statuses: options.status ?? [], types: options.type ?? [] });
  if (options.tenant !== undefined) request.tenantId = options.tenant;
  if (options.sourceDomain !== undefined) request.sourceDomain = options.sourceDomain;
  if (options.sourceId !== undefined) request.sourceId = options.sourceId;
  if (options.worker !== undefined) request.workerId = options.worker;
  if (options.error !== undefined) request.errorContains = options.error;
  if (options.since !== undefined) request.createdAfter = timestampFromDate(options.since);
  if (options.until !== undefined) request.createdBefore = timestampFromDate(options.until);
  return request;
}

/** With its last error at the end of a job's line; where the terminal is too narrow for it, on a line below. */
export function tableOfJobs(jobs: Job[], columns: number | undefined): string {
  const head = ["ID", "TYPE", "STATUS", "ATTEMPTS", "WORKER", "CREATED"];
  const rows = jobs.map((job) => [
    job.job?.id ?? "",
    job.job?.type ?? "",
    statusOf(job),
    `${job.attemptCount}/${job.job?.maxAttempts}`,
    job.lockedBy,
    ago(job.job?.createdAt),
  ]);
  const errors = jobs.map((job) => oneLine(job.lastError.slice(0, 200)));
  const whole = table(
    [...head, "ERROR"],
    rows.map((row, i) => [...row, errors[i] ?? ""]),
  );
  const fits = columns === undefined || whole.split("\n").every((line) => widthOf(line) <= columns);
  if (fits || errors.every((error) => error === "")) return fits ? whole : table(head, rows, columns);
  const [top = "", ...lines] = table(head, rows, columns).split("\n");
  const below = lines.flatMap((line, i) => (errors[i] ? [line, shorten(`  ${errors[i]}`, columns)] : [line]));
  return [top, ...below].join("\n");
}

function statusOf(job: Job): string {
  const due = job.status === JobStatus.PENDING ? ago(job.job?.runAt) : "";
  if (due.startsWith("in ")) return `PENDING (${due})`;
  return job.cancelRequestedAt && job.status === JobStatus.RUNNING
    ? "RUNNING (cancel)"
    : enumName(JobStatusSchema, job.status);
}

function parseStatuses(text: string): JobStatus[] {
  return listOf(text).map((name) => {
    const status = JobStatus[name.toUpperCase() as keyof typeof JobStatus];
    if (!status) throw new InvalidArgumentError("Give pending, running, done, failed or cancelled.");
    return status;
  });
}
