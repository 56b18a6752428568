/** Everything that a broker does without being asked, in one list. */
import type { BrokerMoves } from "../dispatch/moves.ts";
import type { Seen } from "../dispatch/seen.ts";
import type { Streams } from "../dispatch/streams.ts";
import type { Database } from "../store/db.ts";
import { type SweepCursor, sweep } from "../store/drift.ts";
import { forgetIntents } from "../store/ec2.ts";
import { forgetEvents } from "../store/events.ts";
import { ping } from "../store/ping.ts";
import { brokerSeen, forgetSessions } from "../store/sessions.ts";
import { refreshStatistics } from "../store/statistics.ts";
import { forgetWorkers } from "../store/workers.ts";
import { historyLoops } from "./history.ts";
import type { Loop } from "./loop.ts";
import { type PruneLoopsOptions, pruneLoops } from "./prune.ts";

export interface LoopsOptions {
  db: Database;
  moves: Pick<BrokerMoves, "reclaim">;
  seen: Seen;
  streams: Pick<Streams, "sessions" | "resync">;
  brokerId: string;
  /** How often silent streams are looked for. */
  streamsEveryMs: number;
  reclaimEveryMs: number;
  /** Older events are removed. */
  eventDays: number;
  /** When ended jobs leave. */
  retention: Pick<PruneLoopsOptions, "days" | "mode" | "log">;
  /** Takes over a certificate that was renewed on disk. */
  lookAtTls: () => Promise<void>;
  /** Start workers' instances; empty where none is configured. */
  ec2Loops: Loop[];
  /** Deliver events. */
  webhookLoops: Loop[];
  /** Told after each look at the database whether it answers. */
  onDatabase: (err: unknown) => void;
  /** Told when the sweep had to mend something: somebody goes around the triggers. */
  onDrift: (repaired: number) => void;
}

const HEALTH_EVERY_MS = 1_000;
const SEEN_EVERY_MS = 5_000;
/** Messages between brokers tell sooner; this finds what they did not. */
const RESYNC_EVERY_MS = 10_000;
/** Leases that could not be given back while the database was away, or that nobody knows of. */
const OWED_EVERY_MS = 1_000;
const STATISTICS_EVERY_MS = 5_000;
/** The files are watched; this finds what the watch did not tell. */
const TLS_EVERY_MS = 10_000;
const FORGET_EVERY_MS = 3_600_000;
/** A slow walk over all jobs: 1,000 every 2 s is a million in half an hour. */
const SWEEP_EVERY_MS = 2_000;
const SWEEP_BATCH = 1_000;
const FORGET_EVENTS_EVERY_MS = 60_000;
const FORGET_EVENTS_BATCH = 5_000;

export function brokerLoops(options: LoopsOptions): Loop[] {
  const { db } = options;
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
    {
      name: "streams",
      everyMs: options.streamsEveryMs,
      once: async () => {
        options.streams.sessions.tick();
        return false;
      },
    },
    // Apart, since with the database away it waits, and pings must not.
    {
      name: "owed",
      everyMs: OWED_EVERY_MS,
      once: async () => void (await options.streams.sessions.retryOwed()),
    },
    { name: "resync", everyMs: RESYNC_EVERY_MS, once: async () => void (await options.streams.resync()) },
    {
      name: "broker",
      everyMs: SEEN_EVERY_MS,
      once: async () => void (await brokerSeen(db.reserved, options.brokerId)),
    },
    { name: "seen", everyMs: SEEN_EVERY_MS, once: async () => void (await options.seen.flush(db.sql)) },
    { name: "statistics", everyMs: STATISTICS_EVERY_MS, once: async () => void (await refreshStatistics(db.sql)) },
    { name: "tls", everyMs: TLS_EVERY_MS, once: async () => void (await options.lookAtTls()) },
    {
      name: "forget",
      everyMs: FORGET_EVERY_MS,
      once: async () => {
        await forgetWorkers(db.sql);
        await forgetSessions(db.sql);
        await forgetIntents(db.sql);
        return false;
      },
    },
    {
      name: "events",
      everyMs: FORGET_EVENTS_EVERY_MS,
      once: async () => (await forgetEvents(db.sql, options.eventDays, FORGET_EVENTS_BATCH)) === FORGET_EVENTS_BATCH,
    },
    sweepLoop(options),
    ...options.ec2Loops,
    ...options.webhookLoops,
    ...historyLoops({ sql: db.background, brokerId: options.brokerId }),
    ...pruneLoops({ sql: db.background, brokerId: options.brokerId, ...options.retention }),
  ];
}

function sweepLoop({ db, onDrift }: LoopsOptions): Loop {
  let cursor: SweepCursor | null = null;
  return {
    name: "sweep",
    everyMs: SWEEP_EVERY_MS,
    once: async () => {
      const swept = await sweep(db.sql, { from: cursor, batch: SWEEP_BATCH });
      cursor = swept.next;
      if (swept.repaired > 0) onDrift(swept.repaired);
      return false;
    },
  };
}
