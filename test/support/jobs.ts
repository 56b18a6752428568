/** Short words for the store's tests. */
import { expect } from "vitest";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import type { Status } from "../../src/job/status.ts";
import { type ClaimOptions, claim, claimForSeats, type SeatClaimOptions } from "../../src/store/claim.ts";
import { type Repeat, type Replay, replayClaim } from "../../src/store/claim-replay.ts";
import type { Database } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { report } from "../../src/store/report.ts";
import type { Lease, LegacyReport, NewJob, Report, Seat, SeatLease } from "../../src/store/rows.ts";
import { brokerSeen, type Opening, openSessions } from "../../src/store/sessions.ts";

let count = 0;

export function newJob(more: Partial<NewJob> = {}): NewJob {
  return {
    id: `job-${process.pid}-${++count}`,
    type: "ocr",
    payload: '{"image_path":"sheets/1.png"}',
    tenantId: null,
    sourceDomain: null,
    sourceId: null,
    priority: 0,
    maxAttempts: 5,
    runAt: null,
    idempotencyKey: null,
    traceparent: null,
    ...more,
  };
}

/** Dispatches one job and answers its id. */
export async function givenJob(db: Database, more: Partial<NewJob> = {}): Promise<string> {
  const [stored] = await dispatch(db.sql, [newJob(more)]);
  if (stored === undefined) throw new Error("not stored");
  return stored.jobId;
}

/** A past time: such a lease has expired when it begins. */
export const EXPIRED = -1_000;

export async function claimAs(db: Database, workerId: string, more: Partial<ClaimOptions> = {}): Promise<Lease[]> {
  const { leases } = await claim(db.sql, {
    workerId,
    types: [],
    limit: 1,
    leaseMs: 60_000,
    maxBytes: 3_000_000,
    token: `token-${++count}`,
    requestId: null,
    ...more,
  });
  return leases;
}

/** A worker repeats a claim whose answer it never got. */
export function replayAs(
  db: Database,
  workerId: string,
  requestId: string,
  more: Partial<Repeat> = {},
): Promise<Replay> {
  return replayClaim(db.sql, { workerId, requestId, limit: 3, leaseMs: 60_000, maxBytes: 3_000_000, ...more });
}

/** The leases as a repeat finds them: they run anew. */
export function anew(leases: Lease[] | undefined): object[] | undefined {
  return leases?.map((lease) => ({ ...lease, expiresAt: expect.any(Date) }));
}

/** Claims exactly one job. */
export async function givenLease(db: Database, workerId = "w1", more: Partial<ClaimOptions> = {}): Promise<Lease> {
  const [lease] = await claimAs(db, workerId, more);
  if (lease === undefined) throw new Error("nothing to claim");
  return lease;
}

export function opening(instanceId: string, more: Partial<Opening> = {}): Opening {
  const sessionId = `session-${++count}`;
  return { instanceId, sessionId, workerId: `worker of ${instanceId}`, types: [], maxInFlight: 1, client: "", ...more };
}

/** Opens a stream on a broker that is there, and answers a seat on it. */
export async function givenSeat(db: Database, instanceId: string, more: Partial<Opening> = {}): Promise<Seat> {
  const hello = opening(instanceId, more);
  await brokerSeen(db.sql, "broker-1");
  await openSessions(db.sql, "broker-1", [hello]);
  return { instanceId, sessionId: hello.sessionId, workerId: hello.workerId };
}

export async function claimSeats(
  db: Database,
  seats: Seat[],
  more: Partial<SeatClaimOptions> = {},
): Promise<SeatLease[]> {
  const options = { types: [], leaseMs: 60_000, maxBytes: 3_000_000, token: `token-${++count}`, seats };
  return (await claimForSeats(db.sql, { ...options, ...more })).leases;
}

/** Claims exactly one job through a stream of the instance, which is opened for it. */
export async function givenSeatLease(
  db: Database,
  instanceId = "i1",
  more: Partial<SeatClaimOptions> = {},
): Promise<SeatLease> {
  const [lease] = await claimSeats(db, [await givenSeat(db, instanceId)], more);
  if (lease === undefined) throw new Error("nothing to claim");
  return lease;
}

type Held = Pick<Lease, "jobId" | "token">;

export function done(held: Held, more: Partial<Report> = {}): Report {
  const { jobId, token } = held;
  return {
    jobId,
    token,
    status: "DONE",
    result: '{"text": "ok"}',
    error: "",
    retryable: true,
    retryDelayMs: null,
    ...more,
  };
}

export function failed(held: Held, more: Partial<Report> = {}): Report {
  return done(held, { status: "FAILED", result: null, error: "it broke", ...more });
}

/** Reports and answers the statuses, in order. */
export async function reportAll(db: Database, ...reports: Report[]): Promise<string[]> {
  return (await report(db.reserved, reports, DEFAULT_BACKOFF)).map((r) => r.status);
}

export function legacyDone(jobId: string, workerId = "ai-worker"): LegacyReport {
  return { jobId, workerId, status: "DONE", result: '{"text": "old"}', error: "" };
}

export function legacyFailed(jobId: string, workerId = "ai-worker"): LegacyReport {
  return { jobId, workerId, status: "FAILED", result: null, error: "failed" };
}

/** The whole row of a job, as the database names its columns. */
export async function rowOf(db: Database, jobId: string): Promise<Record<string, unknown>> {
  const [row] = await db.sql`SELECT *, payload::text AS payload_text FROM ai_job WHERE job_id = ${jobId}`;
  if (row === undefined) throw new Error(`no job ${jobId}`);
  return row;
}

export async function statusOf(db: Database, jobId: string): Promise<Status> {
  return (await rowOf(db, jobId))["status"] as Status;
}

/** The payloads of a job's result rows, as text. */
export async function resultsOf(db: Database, jobId: string): Promise<(string | null)[]> {
  const rows = await db.sql<{ payload: string | null }[]>`
    SELECT r.payload::text AS payload FROM ai_result r JOIN ai_job j ON j.id = r.job_id WHERE j.job_id = ${jobId}`;
  return rows.map((r) => r.payload);
}

/** A retry waits for its backoff; this lets the time pass. */
export async function makeDue(db: Database, jobId: string): Promise<void> {
  await db.sql`UPDATE ai_job SET next_run_at = now() - interval '1 second' WHERE job_id = ${jobId}`;
}

/** Lets a lease run out as time would. */
export async function expire(db: Database, jobId: string): Promise<void> {
  await db.sql`
    WITH j AS (UPDATE ai_job SET lease_expires_at = now() - interval '1 second', move = move + 1
      WHERE job_id = ${jobId} RETURNING id)
    UPDATE ai_lease l SET expires_at = now() - interval '1 second' FROM j WHERE l.id = j.id`;
}

/** The small tables say of every job just what ai_job says. */
export async function expectNoDrift(db: Database): Promise<void> {
  const drift = await db.sql`
    SELECT j.job_id, j.status, 'ready' AS what FROM ai_job j FULL JOIN ai_ready r ON r.id = j.id
    WHERE (j.status = 'PENDING') IS DISTINCT FROM (r.id IS NOT NULL)
      OR (r.id IS NOT NULL AND (r.job_type, r.priority, r.run_at, r.bytes)
        IS DISTINCT FROM (j.job_type, j.priority, j.next_run_at, octet_length(j.payload::text)))
    UNION ALL
    SELECT j.job_id, j.status, 'lease' FROM ai_job j FULL JOIN ai_lease l ON l.id = j.id
    WHERE (j.status = 'RUNNING') IS DISTINCT FROM (l.id IS NOT NULL)
      OR (l.id IS NOT NULL AND (l.expires_at, l.worker_id, l.instance_id)
        IS DISTINCT FROM (j.lease_expires_at, j.locked_by, j.instance_id))`;
  expect(drift).toEqual([]);
}
