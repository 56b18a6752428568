/** Short words for the stories of the Work stream. */
import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { expect } from "vitest";
import type { ClaimedJob } from "../../src/gen/aibroker/v1/job_pb.ts";
import type { NewJobSchema } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import {
  type HelloSchema,
  type ReportItemResult,
  ReportStatus,
  type Welcome,
} from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import type { Database } from "../../src/store/db.ts";
import type { TestBroker } from "./broker.ts";
import { givenJob } from "./jobs.ts";
import { type Ended, openWork, type RawWork, type RawWorkOptions } from "./raw-work.ts";

export interface Streaming extends RawWork {
  instanceId: string;
  welcome: Welcome;
}

/** A worker of type ocr with 10 seats, unless its Hello says more. */
export async function openWorker(
  broker: Pick<TestBroker, "url">,
  hello: MessageInitShape<typeof HelloSchema> = {},
  options: RawWorkOptions = {},
): Promise<Streaming> {
  const work = await openWork(broker.url, options);
  try {
    const instanceId = hello.instanceId ?? randomUUID();
    const welcome = await work.hello({ types: ["ocr"], maxInFlight: 10, ...hello, instanceId });
    return Object.assign(work, { welcome, instanceId: welcome.instanceId });
  } catch (err) {
    await work[Symbol.asyncDispose]();
    throw err;
  }
}

/** Opens a stream whose Hello is refused, and answers how. */
export async function refusedHello(
  broker: Pick<TestBroker, "url">,
  hello: MessageInitShape<typeof HelloSchema>,
  options: RawWorkOptions = {},
): Promise<Ended> {
  await using work = await openWork(broker.url, options);
  work.hello(hello).catch(() => undefined);
  return await work.ended;
}

/** Dispatches a job for each id, all at once. */
export async function dispatchAll(
  broker: Pick<TestBroker, "jobs">,
  ids: readonly string[],
  more: MessageInitShape<typeof NewJobSchema> = {},
): Promise<void> {
  await broker.jobs.dispatch({ jobs: ids.map((id) => ({ type: "ocr", payloadJson: "{}", ...more, id })) });
}

/** Names for so many jobs: a1, a2, … */
export function names(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, at) => `${prefix}${at + 1}`);
}

/** The next so many jobs, from as many frames as they come in. */
export async function takeJobs(work: RawWork, count: number, deadlineMs?: number): Promise<ClaimedJob[]> {
  const jobs: ClaimedJob[] = [];
  while (jobs.length < count) jobs.push(...(await work.next("jobs", deadlineMs)).jobs);
  expect(idsOf(jobs)).toHaveLength(count);
  return jobs;
}

export async function takeJob(work: RawWork, deadlineMs?: number): Promise<ClaimedJob> {
  return (await takeJobs(work, 1, deadlineMs))[0] as ClaimedJob;
}

export function idsOf(jobs: readonly ClaimedJob[]): string[] {
  return jobs.map(({ job }) => job?.id ?? "");
}

/** As heartbeats, releases and a Hello name it. */
export function leaseOf({ job, leaseToken }: ClaimedJob): { jobId: string; leaseToken: string } {
  return { jobId: job?.id ?? "", leaseToken };
}

/** The ids of all jobs that came over the stream, also those that were taken. */
export function receivedJobs(work: RawWork): string[] {
  return work.received.flatMap(({ frame }) => (frame.case === "jobs" ? idsOf(frame.value.jobs) : []));
}

/** Answers to a report, as "job: STATUS". */
export function outcomes(results: readonly Pick<ReportItemResult, "jobId" | "status">[]): string[] {
  const words = new Map<ReportStatus, string>(Object.entries(ReportStatus).map(([word, status]) => [status, word]));
  return results.map(({ jobId, status }) => `${jobId}: ${words.get(status)}`);
}

let pings = 0n;

/** Resolves when all that the broker has said so far has arrived. */
export async function hearAll(work: RawWork): Promise<void> {
  const id = ++pings;
  work.send({ ping: { id } });
  for (;;) if ((await work.next("pong")).id === id) return;
}

/**
 * Resolves when this broker has looked at the whole queue and has pushed what it would push. Needs a stream of the
 * witness's type there: a job that only a look finds comes to it, twice, since one round serves types in any order.
 */
export async function afterLooks(db: Database, witness: RawWork, type = "witness"): Promise<void> {
  for (let turn = 0; turn < 2; turn++) {
    const id = await givenJob(db, { type });
    const job = await takeJob(witness);
    expect(job.job?.id).toBe(id);
    await witness.report([job]);
  }
}

/** The stream that afterLooks() needs; one on another broker needs a type of its own. */
export async function openWitness(broker: Pick<TestBroker, "url">, type = "witness"): Promise<Streaming> {
  return await openWorker(broker, { workerId: type, types: [type], maxInFlight: 1 });
}

/** What the database says of an instance: the jobs that it holds. */
export async function heldBy(db: Database, instanceId: string): Promise<string[]> {
  const rows = await db.sql<{ job_id: string }[]>`
    SELECT j.job_id FROM ai_lease l JOIN ai_job j ON j.id = l.id
    WHERE l.instance_id = ${instanceId} AND j.status = 'RUNNING' ORDER BY j.id`;
  return rows.map((row) => row.job_id);
}

/** The states of all jobs, counted, and the greatest attempt of any. */
export async function tally(db: Database): Promise<{ states: Record<string, number>; attempts: number }> {
  const rows = await db.sql<{ status: string; n: number; attempts: number }[]>`
    SELECT status, count(*)::int AS n, max(attempt_count)::int AS attempts FROM ai_job
    WHERE job_type NOT LIKE 'witness%' GROUP BY status`;
  return {
    states: Object.fromEntries(rows.map((row) => [row.status, row.n])),
    attempts: Math.max(0, ...rows.map((row) => row.attempts)),
  };
}

/** Attempt, hand-outs and state of one job. */
export async function countsOf(
  db: Database,
  jobId: string,
): Promise<{ status: string; attempt: number; deliveries: number }> {
  const [row] = await db.sql<{ status: string; attempt: number; deliveries: number }[]>`
    SELECT status, attempt_count::int AS attempt, deliveries::int AS deliveries FROM ai_job WHERE job_id = ${jobId}`;
  if (row === undefined) throw new Error(`no job ${jobId}`);
  return row;
}
