/** What the database's own side of a history looks like, as rows.jsonl and final.jsonl have it. Times are µs since 1970. */
import type { EventKind } from "../../../src/job/events.ts";
import type { Status } from "../../../src/job/status.ts";

interface Version {
  /** The order in which versions were made; for one job it is the order of its life. */
  nth: number;
  /** When the trigger ran: before the commit, after the row was locked. */
  at: number;
  /** now() of the transaction, by which moves set and compare times. */
  now: number;
  tx: string;
  change: "INSERT" | "UPDATE" | "DELETE";
  job: string;
}

/** A row of ai_job after the change; of a DELETE, as it was. */
export interface JobVersion extends Version {
  table: "job";
  /** The status before; null at an INSERT. */
  was: Status | null;
  status: Status;
  attempt: number;
  maxAttempts: number;
  deliveries: number;
  returns: number;
  token: string | null;
  worker: string | null;
  instance: string | null;
  expiresAt: number | null;
  lockedAt: number | null;
  heartbeatAt: number | null;
  nextRunAt: number;
  settledToken: string | null;
  settledAs: string | null;
  cancelRequestedAt: number | null;
  eventSeq: number;
  move: number;
  tenant: string | null;
  key: string | null;
}

export interface ResultVersion extends Version {
  table: "result";
  result: string | null;
}

export interface EventVersion extends Version {
  table: "event";
  seq: number;
  event: EventKind;
  attempt: number;
  worker: string | null;
}

export type RowVersion = JobVersion | ResultVersion | EventVersion;

/** A row at the end, or at the moment `at` of a run. `id` is ai_job's number in all of them. */
export type FinalRow = { at?: number } & (
  | {
      table: "job";
      id: number;
      job: string;
      status: Status;
      attempt: number;
      token: string | null;
      eventSeq: number;
      type: string;
      priority: number;
      nextRunAt: number;
    }
  | { table: "ready"; id: number; type: string; priority: number; nextRunAt: number }
  | { table: "lease"; id: number; worker: string | null; expiresAt: number | null }
  | { table: "result"; id: number; result: string | null }
);
