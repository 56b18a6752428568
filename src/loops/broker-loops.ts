/** Everything that a broker does without being asked, in one list. */
import type { BrokerMoves } from "../dispatch/create-moves.ts";
import type { Seen } from "../dispatch/seen.ts";
import type { Database } from "../store/db.ts";
import { type SweepCursor, sweep } from "../store/drift.ts";
import { ping } from "../store/ping.ts";
import { refreshStatistics } from "../store/statistics.ts";
import { forgetWorkers } from "../store/workers.ts";
import type { Loop } from "./loop.ts";

export interface LoopsOptions {
  db: Database;
  moves: Pick<BrokerMoves, "reclaim">;
  seen: Seen;
  reclaimEveryMs: number;
  /** Told after each look at the database whether it answers. */
  onDatabase: (err: unknown) => void;
  /** Told when the sweep had to mend something: somebody goes around the triggers. */
  onDrift: (repaired: number) => void;
}

const HEALTH_EVERY_MS = 1_000;
const SEEN_EVERY_MS = 5_000;
const STATISTICS_EVERY_MS = 5_000;
const FORGET_EVERY_MS = 3_600_000;
/** A slow walk over all jobs: 1,000 every 2 s is a million in half an hour. */
const SWEEP_EVERY_MS = 2_000;
const SWEEP_BATCH = 1_000;

export function brokerLoops(options: LoopsOptions): Loop[] {
  const { db } = options;
  let cursor: SweepCursor | null = null;
  return [
    {
      name: "reclaim",
      everyMs: options.reclaimEveryMs,
      // A full batch means that more has expired: go on at once.
      once: async () => (await options.moves.reclaim()).full,
    },
    {
      name: "health",
      everyMs: HEALTH_EVERY_MS,
      once: async () => {
        try {
          await ping(db.reserved);
          options.onDatabase(null);
        } catch (err) {
          options.onDatabase(err);
        }
        return false;
      },
    },
    { name: "seen", everyMs: SEEN_EVERY_MS, once: async () => void (await options.seen.flush(db.sql)) },
    { name: "statistics", everyMs: STATISTICS_EVERY_MS, once: async () => void (await refreshStatistics(db.sql)) },
    { name: "forget", everyMs: FORGET_EVERY_MS, once: async () => void (await forgetWorkers(db.sql)) },
    {
      name: "sweep",
      everyMs: SWEEP_EVERY_MS,
      once: async () => {
        const swept = await sweep(db.sql, { from: cursor, batch: SWEEP_BATCH });
        cursor = swept.next;
        if (swept.repaired > 0) options.onDrift(swept.repaired);
        return false;
      },
    },
  ];
}
