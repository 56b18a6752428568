/** `dispatch` */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { type Job, JobSchema, JobStatus, JobStatusSchema } from "../gen/aibroker/v1/job_pb.ts";
import { DispatchResultSchema, type NewJob, NewJobSchema } from "../gen/aibroker/v1/job_service_pb.ts";
import { shortDuration } from "../short-duration.ts";
import { CliError } from "./cli-error.ts";
import { withBroker } from "./connection.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { parseWhole } from "./options.ts";
import { enumName, messageJson, print, printJson, say } from "./output.ts";
import { oneLine } from "./text.ts";
import { parseDurationMs, parseTime } from "./time.ts";
import { waitForEnd } from "./wait.ts";

interface Options {
  id?: string;
  tenant?: string;
  sourceDomain?: string;
  sourceId?: string;
  priority?: number;
  maxAttempts?: number;
  runAt?: Date;
  idempotencyKey?: string;
  wait?: boolean;
  timeout?: number;
  json?: boolean;
}

export function addDispatch(program: Command, done: (code: ExitCode) => void): void {
  program
    .command("dispatch")
    .description("Store a job and print its id; with --wait, its result once it has one.")
    .argument("<type>", "the job type, for example ocr")
    .argument("[payload]", "a JSON object, @FILE to read one, - for stdin; default {}")
    .option("--id <id>", "the job's id; default: the broker makes one")
    .option("--tenant <id>", "whose job it is")
    .option("--source-domain <name>", "the part of your system that asks")
    .option("--source-id <id>", "what the job is about in that part")
    .option("--priority <number>", "-1000..1000, the smaller goes first; default 0", parseWhole)
    .option("--max-attempts <count>", "attempts before the job is FAILED; default DEFAULT_MAX_ATTEMPTS", parseWhole)
    .option("--run-at <time>", "not before: 2026-01-31T09:00:00Z, or +10m", (value) => parseTime(value))
    .option("--idempotency-key <key>", "makes it harmless to run this command again")
    .option("--wait", "wait until the job has ended and print its result's JSON")
    .option("--timeout <duration>", "stop waiting after 30s, 5m, 1h; the job goes on", parseDurationMs)
    .option("--json", "print JSON: {jobId, created}, or with --wait the API's Job")
    .addHelpText(
      "after",
      `
Examples:
  $ ai-job-broker dispatch ocr '{"image_path": "sheets/1.png", "engine": "tesseract"}'
  $ ai-job-broker dispatch embedding @texts.json --tenant academy-12 --priority -10
  $ generate | ai-job-broker dispatch problem_generation - --wait --timeout 2m | jq .problems

With --wait it exits 0 when the job is DONE, 1 when it FAILED or was CANCELLED, 3 when --timeout passed.`,
    )
    .action(async (type: string, payload: string | undefined, options: Options) => {
      done(await dispatch(await newJob(type, payload, options), options));
    });
}

async function newJob(type: string, payload: string | undefined, options: Options): Promise<NewJob> {
  const job = create(NewJobSchema, { type, payloadJson: await readPayload(payload) });
  if (options.id !== undefined) job.id = options.id;
  if (options.tenant !== undefined) job.tenantId = options.tenant;
  if (options.sourceDomain !== undefined) job.sourceDomain = options.sourceDomain;
  if (options.sourceId !== undefined) job.sourceId = options.sourceId;
  if (options.priority !== undefined) job.priority = options.priority;
  if (options.maxAttempts !== undefined) job.maxAttempts = options.maxAttempts;
  if (options.runAt !== undefined) job.runAt = timestampFromDate(options.runAt);
  if (options.idempotencyKey !== undefined) job.idempotencyKey = options.idempotencyKey;
  return job;
}

async function readPayload(given: string | undefined): Promise<string> {
  if (given === undefined) return "";
  if (given === "-") return await text(process.stdin);
  if (!given.startsWith("@")) return given;
  return await readFile(given.slice(1), "utf8").catch((cause: Error) => {
    throw new CliError(EXIT.usage, `cannot read the payload: ${cause.message}`, { cause });
  });
}

function dispatch(job: NewJob, options: Options): Promise<ExitCode> {
  return withBroker(async (broker) => {
    const result = (await broker.jobs.dispatch({ jobs: [job] })).results[0];
    if (result === undefined) throw new CliError(EXIT.failed, "the broker answered without a result; is it a broker?");
    if (!options.wait) {
      if (options.json) printJson(messageJson(DispatchResultSchema, result));
      else print(result.jobId);
      if (!result.created) say("It had been dispatched before; nothing new was stored.");
      return EXIT.ok;
    }
    say(`Dispatched ${result.jobId}; waiting for its end.`);
    const ended = await waitForEnd(broker.jobs, result.jobId, options.timeout);
    if (ended !== undefined) return printEnd(ended, options.json ?? false);
    const after = shortDuration(options.timeout ?? 0);
    throw new CliError(EXIT.notDone, `not done after ${after}; see it with: ai-job-broker jobs get ${result.jobId}`);
  });
}

function printEnd(job: Job, json: boolean): ExitCode {
  if (json) printJson(messageJson(JobSchema, job));
  else if (job.status === JobStatus.DONE) print(job.result?.resultJson || "{}");
  if (job.status === JobStatus.DONE) return EXIT.ok;
  const why = oneLine(job.errorMessage || job.lastError || job.cancelReason);
  say(`${enumName(JobStatusSchema, job.status)} after ${job.attemptCount} attempts${why ? `: ${why}` : ""}`);
  return EXIT.failed;
}
