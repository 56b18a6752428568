/** What goes into the store and what comes out of it. Times are the database's; absent values are null. */
import type { Status } from "../job/status.ts";

/** A job to be stored, validated and with its defaults filled in. */
export interface NewJob {
  id: string;
  type: string;
  /** JSON text of an object. */
  payload: string;
  tenantId: string | null;
  sourceDomain: string | null;
  sourceId: string | null;
  priority: number;
  maxAttempts: number;
  /** Null: now, by the database's clock. */
  runAt: Date | null;
  idempotencyKey: string | null;
  traceparent: string | null;
}

/** What the log line of a state change needs beside the answer; all null when nothing changed. */
export interface Trace {
  type: string | null;
  attempt: number | null;
  /** The state the job is in now. */
  to: Status | null;
  /** Since the claim. */
  durationMs: number | null;
  /** The Work stream's instance whose lease the move ended or touched; null: none. */
  instanceId: string | null;
}

export interface Dispatched {
  jobId: string;
  /** False when the id or the idempotency key was known, with the same body. */
  created: boolean;
  /** Set when it went straight to a free seat. */
  lease?: SeatLease;
}

/** Seats that wait while jobs are dispatched: one that is due, and next in line there, goes to a seat at once. */
export interface HandOff {
  /** What the seats take; empty: any type. */
  types: string[];
  /** In the order in which they get jobs. */
  seats: Seat[];
  leaseMs: number;
  /** Of all payloads together, and about 2 KiB a job beside; the first job goes whatever its size. */
  maxBytes: number;
  /** Where in which lanes older jobs are looked for; absent: in all of the types, from the front. */
  from?: readonly LaneStart[] | undefined;
  /** Random text; each lease's token is made from it. */
  token: string;
}

/** What a job is, as its producer described it. */
export interface JobFacts {
  jobId: string;
  type: string;
  tenantId: string | null;
  sourceDomain: string | null;
  sourceId: string | null;
  priority: number;
  maxAttempts: number;
  runAt: Date;
  idempotencyKey: string | null;
  traceparent: string | null;
  createdAt: Date;
}

/** One attempt, held. */
export interface Lease extends JobFacts {
  /** JSON text. */
  payload: string;
  token: string;
  attempt: number;
  expiresAt: Date;
  /** How long it runs from each heartbeat. */
  leaseMs: number;
  workerId: string;
}

/** Who asks for jobs by a call, and for how many. */
export interface Claimer {
  workerId: string;
  limit: number;
  /** Kept with the leases, for replay. */
  requestId: string | null;
}

/** Room for one job on a Work stream. */
export interface Seat {
  instanceId: string;
  sessionId: string;
  workerId: string;
}

/** A lease that was claimed for a seat. */
export interface SeatLease extends Lease {
  instanceId: string;
  sessionId: string;
}

export interface LeaseRef {
  jobId: string;
  token: string;
}

/** A lease, and the worker that has it or was to get it. */
export interface WorkersLease extends LeaseRef {
  workerId: string;
}

export interface Progress {
  percent: number | null;
  note: string | null;
}

export interface Beat extends LeaseRef {
  /** Null: unchanged. */
  progress: Progress | null;
}

export interface Renewal {
  jobId: string;
  verdict: "CONTINUE" | "CANCEL" | "LOST";
  /** Of the job; null when LOST. */
  type: string | null;
  expiresAt: Date | null;
}

/** One reported attempt. */
export interface Report extends LeaseRef {
  status: "DONE" | "FAILED";
  /** JSON text of an object, or null for none. */
  result: string | null;
  error: string;
  retryable: boolean;
  /** Null: the usual backoff. */
  retryDelayMs: number | null;
}

export type ReportStatus =
  | "ACCEPTED"
  | "RETRYING"
  | "DUPLICATE"
  | "CONFLICT"
  | "LEASE_LOST"
  | "CANCELLED"
  | "NOT_FOUND";

export interface Reported extends Trace, Age {
  jobId: string;
  status: ReportStatus;
}

/** How old the job that a report has settled is. */
export interface Age {
  /** Since its dispatch, or its run_at if that came later and this was its first attempt; null when nothing changed. */
  ageMs: number | null;
}

export interface Released extends Trace {
  jobId: string;
  released: boolean;
}

/** A job that an operator took from its worker. */
export interface Taken extends Trace {
  jobId: string;
  outcome: "RELEASED" | "UNCHANGED" | "NOT_FOUND";
  /** The status after the call; null when there is no such job. */
  status: Status | null;
  /** Who had it. */
  workerId: string | null;
  /** Of the lease that was ended; null: none, or one of Django's. */
  token: string | null;
}

export interface Cancelled extends Trace {
  jobId: string;
  outcome: "CANCELLED" | "REQUESTED" | "UNCHANGED" | "NOT_FOUND";
  /** The status after the call; null when there is no such job. */
  status: Status | null;
  /** Of the lease that is asked to stop; null: none, or one of Django's. */
  token: string | null;
}

export interface Retried extends Trace {
  jobId: string;
  outcome: "RETRIED" | "NOT_RETRYABLE" | "NOT_FOUND";
  status: Status | null;
}

/** A job that was to get another priority. */
export interface Updated {
  jobId: string;
  outcome: "UPDATED" | "UNCHANGED" | "NOT_FOUND";
  status: Status | null;
  /** Of a job whose place in the queue is another one now; null: it has not moved. */
  type: string | null;
}

/** A report by a legacy worker, which knows no lease token. */
export interface LegacyReport {
  jobId: string;
  workerId: string;
  status: "DONE" | "FAILED";
  /** JSON text of a non-empty object, or null. */
  result: string | null;
  /** Already cut to its limit and never empty for FAILED. */
  error: string;
}

export interface LegacyReported extends Trace, Age {
  verdict: LegacyVerdict;
  /** Of the lease that the report ended, whoever held it; null: none, or one of Django's. */
  token: string | null;
}

/** A job that a reclaim or a claim took out of RUNNING or PENDING. */
export interface Reclaimed extends Trace {
  jobId: string;
  /** Who had held the lease; null for a job that ended at a claim. */
  workerId: string | null;
  /** Of the lease that was ended; null: none, or one of Django's. */
  token: string | null;
}

/** What became of a lease, seen without a change. */
export type LeaseVerdict = "HELD" | "CANCEL" | "SETTLED" | "LOST";

export type LegacyVerdict = "not_found" | "duplicate_ignored" | "done" | "failed_recorded";

/** A job as it stands now. */
export interface JobRow extends JobFacts {
  status: Status;
  attemptCount: number;
  lockedBy: string | null;
  lockedAt: Date | null;
  leaseExpiresAt: Date | null;
  lastHeartbeatAt: Date | null;
  updatedAt: Date;
  finishedAt: Date | null;
  lastError: string;
  errorMessage: string;
  progress: Progress | null;
  cancelRequestedAt: Date | null;
  cancelReason: string | null;
  deliveries: number;
}

/** A job with the two big texts, which lists leave out. */
export interface JobDetail extends JobRow {
  payload: string;
  /** Undefined: no result row; null: a row without a payload. */
  result: string | null | undefined;
}

/** The first row of a lane that a claim has to look at; runAt and id as Postgres writes them. */
export interface LaneStart {
  type: string;
  priority: number;
  runAt: string;
  id: string;
}
