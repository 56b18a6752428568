/** The streaming side of a broker, put together: sessions, how they begin, who gets jobs, and what other brokers say. */
import type { Logger } from "pino";
import type { KeptKinds } from "../job/events.ts";
import type { Database } from "../store/db.ts";
import type { LaneStarts } from "../store/lane-starts.ts";
import type { WorkersLease } from "../store/rows.ts";
import { type Courier, createCourier } from "./courier.ts";
import { Dispatcher } from "./dispatcher.ts";
import { Hellos } from "./hellos.ts";
import { createLeaseNews, type LeaseNews } from "./lease-news.ts";
import type { LostClaims } from "./lost-claims.ts";
import type { BrokerMoves } from "./moves.ts";
import type { Recorder } from "./recorder.ts";
import { createSeatClaims } from "./seat-claims.ts";
import { createSessionRows } from "./session-rows.ts";
import { Sessions, type StreamLimits } from "./sessions.ts";
import { createStreamChecks, type StreamChecks } from "./stream-checks.ts";
import type { Waiters } from "./waiters.ts";

export interface StreamsOptions {
  db: Database;
  brokerId: string;
  waiters: Waiters;
  log: Logger;
  /** Asked for when needed, for the moves need the news of the streams. */
  moves: () => Pick<BrokerMoves, "heartbeat" | "giveBack" | "reclaimed">;
  limits: StreamLimits & { maxStreams: number };
  leaseMs: number;
  maxAnswerBytes: number;
  pollMs: number;
  onError: (err: unknown) => void;
  /** Events that are written; absent: all. */
  keptKinds?: KeptKinds;
  /** Absent: nobody counts. */
  record?: Recorder;
  /** For claims; absent: always from the front of each lane. */
  starts?: LaneStarts;
  /** Absent: what a claim has left whose answer was lost runs out. */
  lost?: Pick<LostClaims, "watch" | "settle">;
}

export interface Streams {
  sessions: Sessions;
  hellos: Hellos;
  news: LeaseNews;
  /**
   * Writes the ends of streams that could not be written, and finds what messages of other brokers should have told:
   * streams that are no longer current, leases that ended.
   */
  resync(): Promise<void>;
  /** Ends all streams, gently until graceMs have passed. */
  drain(graceMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** Jobs that may be on their way to one worker, unacked: two full frames. */
const WINDOW_FRAMES = 2;

export function createStreams(options: StreamsOptions): Streams {
  const { db, waiters, log, onError, lost } = options;
  const rows = createSessionRows({
    ...options,
    onReclaimed: (taken) => options.moves().reclaimed(taken),
  });
  const sessions = new Sessions({
    limits: options.limits,
    moves: {
      end: rows.end,
      resize: rows.resize,
      giveBack: (workerId, leases, reason) => options.moves().giveBack(workerId, leases, reason),
    },
    log,
    onSeats: () => seats(),
    onEnding: ({ facts }) => dispatcher.served(facts.sessionId),
    onOpened: () => waiters.lookNow(),
    ...(lost && { settleLost: () => lost.settle() }),
  });
  const checks = createStreamChecks(db.reserved, sessions);
  const courier: Courier = hearOthers(options, sessions, checks, (): Hellos => hellos);
  const hellos = new Hellos({
    sessions,
    moves: {
      open: rows.open,
      heartbeat: (workerId, beats) => options.moves().heartbeat(workerId, beats),
      reclaimUnheld: rows.reclaimUnheld,
    },
    maxStreams: options.limits.maxStreams,
    windowBytes: options.maxAnswerBytes * WINDOW_FRAMES,
    brokerId: options.brokerId,
    log,
    onSeats: () => seats(),
    onSuperseded: (newer) => courier.superseded(newer),
  });
  const dispatcher = new Dispatcher({
    sessions,
    claim: createSeatClaims({ ...options, sql: db.sql }),
    giveBack: (leases) => giveBack(sessions, leases),
    onDeadSeats: (seats) => checks.currency(seats),
    lookNow: () => waiters.lookNow(),
    pollMs: options.pollMs,
    onError,
  });
  waiters.attach(dispatcher);

  function seats(): void {
    dispatcher.seats();
    waiters.wanted();
  }

  return {
    sessions,
    hellos,
    news: createLeaseNews(sessions, courier),
    async resync() {
      await rows.endOwed();
      await checks.all();
    },
    drain: (graceMs) => sessions.drain(graceMs),
    async stop() {
      await dispatcher.stop();
      await courier.stop();
    },
  };
}

/** What other brokers say of streams and leases here. */
function hearOthers(options: StreamsOptions, sessions: Sessions, checks: StreamChecks, hellos: () => Hellos): Courier {
  const { onError } = options;
  const courier = createCourier({
    sql: options.db.sql,
    direct: options.db.direct,
    brokerId: options.brokerId,
    onSuperseded: (newer) => {
      void hellos()
        .superseded(newer)
        .then(() => courier.left(newer.instanceId));
    },
    onLeft: (brokerId, instanceId) => hellos().left(brokerId, instanceId),
    onTouched: (instanceIds) => void checks.leases(instanceIds.flatMap((id) => sessions.get(id) ?? [])).catch(onError),
    onConnected: () => void checks.all().catch(onError),
    onError,
  });
  return courier;
}

async function giveBack(sessions: Sessions, leases: WorkersLease[]): Promise<void> {
  const byWorker = Map.groupBy(leases, ({ workerId }) => workerId);
  await Promise.all([...byWorker].map(([workerId, held]) => sessions.giveBack(workerId, held)));
}
