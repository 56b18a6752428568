/** Claims for many workers at once, as the dispatcher asks for them. */
import type { Logger } from "pino";
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import { claimForSeats } from "../store/claim.ts";
import type { Sql } from "../store/db.ts";
import type { LaneStarts } from "../store/lane-starts.ts";
import type { Seat } from "../store/rows.ts";
import type { SeatClaim } from "./dispatcher.ts";
import { newLeaseToken } from "./lease-token.ts";
import { type LostClaims, NOT_WATCHED } from "./lost-claims.ts";
import { NO_RECORDER, type Recorder } from "./recorder.ts";
import { recordedBy } from "./statement.ts";
import { traceAll, traceClaimed } from "./trace.ts";

export interface SeatClaimsOptions {
  sql: Sql;
  log: Logger;
  leaseMs: number;
  maxAnswerBytes: number;
  /** Events that are written; absent: all. */
  keptKinds?: KeptKinds;
  /** Absent: nobody counts. */
  record?: Recorder;
  /** Absent: always from the front of each lane. */
  starts?: LaneStarts;
  /** Absent: what a claim has left whose answer was lost runs out. */
  lost?: Pick<LostClaims, "watch">;
}

export function createSeatClaims(options: SeatClaimsOptions): (types: string[], seats: Seat[]) => Promise<SeatClaim> {
  const { sql, log, leaseMs, maxAnswerBytes: maxBytes, keptKinds: kept = ALL_KINDS } = options;
  const { record = NO_RECORDER, starts, lost = NOT_WATCHED } = options;
  const run = recordedBy(record);
  return async (types, seats) => {
    const token = newLeaseToken();
    const since = performance.now();
    const { leases, ended, deadSeats, isShort } = await run("claim", () =>
      lost.watch(token, () =>
        claimForSeats(sql, { types, seats, leaseMs, maxBytes, token, kept, ...(starts && { starts }) }),
      ),
    );
    record.claimed(leases, ended, performance.now() - since);
    traceAll(log, "claim", ended);
    traceClaimed(log, leases);
    return { leases, deadSeats, isShort };
  };
}
