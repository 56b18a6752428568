/** A broker's streams on a real database, without a port: createStreams, createMoves, Waiters and Bell as broker.ts wires them. */
import { randomUUID } from "node:crypto";
import pino from "pino";
import { createBell } from "../../src/dispatch/bell.ts";
import { createMoves } from "../../src/dispatch/create-moves.ts";
import type { HelloCall } from "../../src/dispatch/hellos.ts";
import { createLostClaims, type LostClaims } from "../../src/dispatch/lost-claims.ts";
import type { BrokerMoves } from "../../src/dispatch/moves.ts";
import { NO_RECORDER, type Recorder } from "../../src/dispatch/recorder.ts";
import { createStreams, type Streams } from "../../src/dispatch/streams.ts";
import { Waiters } from "../../src/dispatch/waiters.ts";
import type { WorkSession } from "../../src/dispatch/work-session.ts";
import type { BrokerError } from "../../src/errors.ts";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { due } from "../../src/store/due.ts";
import type { Lease, LeaseRef, Renewal } from "../../src/store/rows.ts";
import { brokerSeen } from "../../src/store/sessions.ts";
import { openTestDatabase } from "../support/db.ts";
import { done } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { capacity } from "./fake-streams.ts";

export interface StreamBroker extends AsyncDisposable {
  moves: BrokerMoves;
  streams: Streams;
  waiters: Waiters;
  /** Settled by a Hello alone. */
  lost: LostClaims;
  errors: unknown[];
  connect(more?: WorkerOptions): Promise<StreamWorker>;
}

export interface WorkerOptions extends Partial<HelloCall> {
  /** Acks each frame as it comes; default true. */
  acks?: boolean;
  max?: number;
  /** Told of each frame. */
  onJobs?: (worker: StreamWorker, leases: Lease[]) => void;
}

/** What a worker has seen on one stream. */
export interface StreamWorker {
  session: WorkSession;
  /** Verdicts on the leases of its Hello. */
  held: Renewal[];
  jobs: Lease[];
  cancels: string[];
  ended: BrokerError | null | undefined;
  ids(): string[];
  /** Waits for this many jobs in all. */
  got(count: number): Promise<Lease[]>;
  /** Its connection breaks. */
  vanish(): Promise<void>;
}

const LIMITS = { pingMs: 20_000, silenceMs: 60_000, ackMs: 30_000, maxStreams: 1_000 };

export async function startStreams(
  url: string,
  more: { pollMs?: number; record?: Recorder } = {},
): Promise<StreamBroker> {
  const db = openTestDatabase(url);
  const errors: unknown[] = [];
  const onError = (err: unknown) => void errors.push(err);
  const brokerId = randomUUID();
  const pollMs = more.pollMs ?? 60_000;
  const { record = NO_RECORDER } = more;
  const common = { db, log: pino({ level: "silent" }), leaseMs: 60_000, maxAnswerBytes: 3_000_000, record, onError };
  const waiters = new Waiters({ look: (limit) => due(db.sql, limit), pollMs, onError });
  const heard = Promise.withResolvers<void>();
  const bell = createBell({
    sql: db.sql,
    direct: db.direct,
    instanceId: brokerId,
    gapMs: 10,
    onRing: () => {
      heard.resolve();
      waiters.lookNow();
    },
    onError,
  });
  const giveBack: BrokerMoves["giveBack"] = (...leases) => moves.giveBack(...leases);
  const lost = createLostClaims({ db, log: common.log, statementTimeoutMs: 60_000, giveBack });
  const streams = createStreams({ ...common, lost, brokerId, waiters, pollMs, limits: LIMITS, moves: () => moves });
  const moves = createMoves({
    ...common,
    lost,
    waiters,
    bell,
    news: streams.news,
    shimLeaseMs: 60_000,
    backoff: DEFAULT_BACKOFF,
    maxDeliveries: 20,
    cancelGraceMs: 30_000,
    maxPending: 0,
  });
  await brokerSeen(db.sql, brokerId);
  await heard.promise;
  return {
    moves,
    streams,
    waiters,
    lost,
    errors,
    connect: (options) => connect(streams, options),
    async [Symbol.asyncDispose]() {
      waiters.stop();
      await streams.drain(0);
      await streams.stop();
      await bell.stop();
      await db.close();
    },
  };
}

async function connect(streams: Streams, options: WorkerOptions = {}): Promise<StreamWorker> {
  const { acks = true, max = 10, onJobs, ...hello } = options;
  const worker = { jobs: [] as Lease[], cancels: [] as string[], ended: undefined } as unknown as StreamWorker;
  const call: HelloCall = {
    workerId: "w",
    instanceId: null,
    types: [],
    capacity: capacity(max),
    held: [],
    client: "",
    ...hello,
  };
  const { session, held } = await streams.hellos.open(call, {
    jobs(seq, leases) {
      worker.jobs.push(...leases);
      // The answer takes its way over the wire.
      if (acks) setImmediate(() => streams.sessions.heard(worker.session, seq));
      setImmediate(() => onJobs?.(worker, leases));
    },
    cancel: ({ jobId }, reason) => void worker.cancels.push(`${jobId} ${reason}`),
    drain: () => undefined,
    ping: () => undefined,
    answered: async () => undefined,
    end(fault) {
      worker.ended = fault;
    },
  });
  return Object.assign(worker, {
    session,
    held,
    ids: () => worker.jobs.map(({ jobId }) => jobId),
    async got(count: number) {
      await until(`${count} jobs have come`, () => worker.jobs.length >= count);
      return worker.jobs;
    },
    vanish: () => streams.sessions.end(session, null),
  });
}

/** Reports jobs DONE through a broker, whichever stream they came by. */
export async function reportDone(broker: StreamBroker, leases: readonly LeaseRef[]): Promise<string[]> {
  return (
    await broker.moves.report(
      "w",
      leases.map((lease) => done(lease)),
    )
  ).map(({ status }) => status);
}
