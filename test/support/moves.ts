/** The moves of one broker on a test's database, with everything it logged. */
import { randomUUID } from "node:crypto";
import pino from "pino";
import { type Bell, createBell } from "../../src/dispatch/bell.ts";
import { createMoves } from "../../src/dispatch/create-moves.ts";
import type { BrokerMoves } from "../../src/dispatch/moves.ts";
import type { MovesOptions } from "../../src/dispatch/moves-options.ts";
import { Waiters } from "../../src/dispatch/waiters.ts";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import type { Database } from "../../src/store/db.ts";
import { due } from "../../src/store/due.ts";
import { NO_NEWS } from "./no-news.ts";

export interface TestBroker {
  moves: BrokerMoves;
  waiters: Waiters;
  bell: Bell;
  /** Each log line as it was written. */
  lines: string[];
  /** Resolves once another broker's ring can be heard. */
  listening: Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export function startMoves(db: Database, more: Partial<MovesOptions> & { pollMs?: number } = {}): TestBroker {
  const lines: string[] = [];
  const errors: unknown[] = [];
  const log = pino({ level: "trace" }, { write: (line: string) => void lines.push(line) });
  const onError = (err: unknown) => void errors.push(err);
  const waiters = new Waiters({ look: (limit) => due(db.sql, limit), pollMs: more.pollMs ?? 60_000, onError });
  const heard = Promise.withResolvers<void>();
  const bell = createBell({
    sql: db.sql,
    direct: db.direct,
    instanceId: randomUUID(),
    gapMs: 50,
    onRing: () => {
      heard.resolve();
      waiters.lookNow();
    },
    onError,
  });
  const moves = createMoves({
    db,
    waiters,
    bell,
    news: NO_NEWS,
    log,
    leaseMs: 60_000,
    shimLeaseMs: 60_000,
    backoff: DEFAULT_BACKOFF,
    maxDeliveries: 20,
    cancelGraceMs: 30_000,
    maxAnswerBytes: 3_000_000,
    maxPending: 0,
    ...more,
  });
  return {
    moves,
    waiters,
    bell,
    lines,
    listening: heard.promise,
    async [Symbol.asyncDispose]() {
      waiters.stop();
      await bell.stop();
      if (errors.length > 0) throw errors[0];
    },
  };
}
