/** The real moves on a test's database. */
import { pino } from "pino";
import { createMoves } from "../../src/dispatch/create-moves.ts";
import type { Moves } from "../../src/dispatch/moves.ts";
import { Waiters } from "../../src/dispatch/waiters.ts";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import type { Database } from "../../src/store/db.ts";
import { NO_NEWS } from "../support/no-news.ts";

export function realMoves(db: Database): Moves {
  return createMoves({
    db,
    waiters: new Waiters({ look: async () => [], pollMs: 1_000, onError() {} }),
    bell: { ring() {} },
    news: NO_NEWS,
    log: pino({ level: "silent" }),
    leaseMs: 120_000,
    shimLeaseMs: 120_000,
    backoff: DEFAULT_BACKOFF,
    maxDeliveries: 20,
    cancelGraceMs: 30_000,
    maxAnswerBytes: 3 * 1024 * 1024,
    maxPending: 0,
  });
}
