/** Claims for many workers at once, as the dispatcher asks for them. */
import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import { claimForSeats } from "../store/claim.ts";
import type { Sql } from "../store/db.ts";
import type { Seat, SeatClaim } from "./dispatcher.ts";
import { runStatement } from "./statement.ts";
import { trace } from "./trace.ts";

export interface SeatClaimsOptions {
  sql: Sql;
  log: Logger;
  leaseMs: number;
  maxAnswerBytes: number;
}

export function createSeatClaims(options: SeatClaimsOptions): (types: string[], seats: Seat[]) => Promise<SeatClaim> {
  const { sql, log, leaseMs, maxAnswerBytes: maxBytes } = options;
  return async (types, seats) => {
    const token = randomBytes(16).toString("base64url");
    const { leases, ended, deadSeats, isShort } = await runStatement(() =>
      claimForSeats(sql, { types, seats, leaseMs, maxBytes, token }),
    );
    for (const e of ended) trace(log, "claim", e);
    for (const { jobId, type, attempt, workerId } of leases) {
      trace(log, "claim", { jobId, type, to: "RUNNING", attempt, durationMs: null }, { worker: workerId });
    }
    return { leases, deadSeats, isShort };
  };
}
