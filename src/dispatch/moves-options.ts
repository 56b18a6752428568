/** What the moves of one broker stand on. */
import type { Logger } from "pino";
import type { KeptKinds } from "../job/events.ts";
import type { Backoff } from "../job/retry.ts";
import type { Database } from "../store/db.ts";
import type { LaneStarts } from "../store/lane-starts.ts";
import type { Bell } from "./bell.ts";
import type { LeaseNews } from "./lease-news.ts";
import type { LostClaims } from "./lost-claims.ts";
import type { Recorder } from "./recorder.ts";
import type { Waiters } from "./waiters.ts";

export interface MovesOptions {
  db: Database;
  waiters: Waiters;
  bell: Pick<Bell, "ring">;
  /** Told of leases that end or are to end, for the streams. */
  news: LeaseNews;
  log: Logger;
  leaseMs: number;
  /** Of legacy workers' leases. */
  shimLeaseMs: number;
  backoff: Backoff;
  maxDeliveries: number;
  cancelGraceMs: number;
  /** Payload bytes in one claim's answer. */
  maxAnswerBytes: number;
  /** Events that are written; absent: all. */
  keptKinds?: KeptKinds;
  /** Told of all moves; absent: nobody counts. */
  record?: Recorder;
  /** For claims and hand-offs; absent: always from the front of each lane. */
  starts?: LaneStarts;
  /** For claims and hand-offs; absent: what one has left whose answer was lost runs out. */
  lost?: Pick<LostClaims, "watch">;
  /** Jobs that may wait before dispatches are refused; 0: no limit. */
  maxPending: number;
}
