/**
 * How a Work stream begins. The row in ai_session says which stream of an instance is the current one, over all
 * brokers; what an older stream left behind is settled before the new one gets a job, so that an instance never has
 * more than it asked for.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { Beat, LeaseRef, Renewal } from "../store/rows.ts";
import type { Opened, Opening, SessionRef } from "../store/sessions.ts";
import type { Newer } from "./courier.ts";
import { brokerLeaves, supersededBy, tooManyStreams } from "./session-faults.ts";
import type { Sessions } from "./sessions.ts";
import { type Capacity, type Outlet, WorkSession } from "./work-session.ts";

export interface HelloCall {
  workerId: string;
  /** Null: the broker makes one. */
  instanceId: string | null;
  /** Empty: any. */
  types: string[];
  capacity: Capacity;
  held: LeaseRef[];
  client: string;
}

export interface Welcomed {
  session: WorkSession;
  /** One for each lease of the Hello, in its order. */
  held: Renewal[];
}

/** What a Hello needs of the store. Each rejects with BrokerError when the database is away. */
export interface HelloMoves {
  open(opening: Opening): Promise<Opened>;
  heartbeat(workerId: string, beats: Beat[]): Promise<Renewal[]>;
  /** Leases of the instance other than these go back, with the attempt spent. */
  reclaimUnheld(session: SessionRef, held: string[]): Promise<void>;
}

export interface HellosOptions {
  sessions: Sessions;
  moves: HelloMoves;
  maxStreams: number;
  /** Bytes of unacked jobs on one stream. */
  windowBytes: number;
  log: Logger;
  brokerId: string;
  /** The instance's stream on another broker is no longer the current one. */
  onSuperseded: (newer: Newer) => void;
  /** Seats may have become free. */
  onSeats: () => void;
}

/** How long the older stream's broker is waited for: it answers at once, if it still lives. */
const TAKE_OVER_MS = 2_000;
/** After the database was away. */
const AGAIN_MS = 500;

export class Hellos {
  readonly #options: HellosOptions;
  /** Under way, by instance: the next one of the same instance waits for it. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** The newest epoch heard of from other brokers while one is under way. */
  readonly #newest = new Map<string, number>();
  /** Who waits for another broker to let go of an instance. */
  readonly #leaving = new Map<string, { brokerId: string; done: () => void }>();

  constructor(options: HellosOptions) {
    this.#options = options;
  }

  get maxStreams(): number {
    return this.#options.maxStreams;
  }

  /**
   * Opens a stream; an older one of the same instance is ended first. Rejects with TOO_MANY_STREAMS, SHUTTING_DOWN,
   * SESSION_SUPERSEDED or DATABASE_DOWN.
   */
  async open(hello: HelloCall, outlet: Outlet): Promise<Welcomed> {
    const instanceId = hello.instanceId ?? randomUUID();
    this.#refuseMore(instanceId);
    const before = this.#turns.get(instanceId);
    const turn = (async () => {
      await before?.catch(() => undefined);
      return await this.#open(instanceId, hello, outlet);
    })();
    this.#turns.set(instanceId, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(instanceId) === turn) {
        this.#turns.delete(instanceId);
        this.#newest.delete(instanceId);
      }
    }
  }

  /** Another broker has a newer stream of the instance. Resolves when what goes back of the older one is back. */
  async superseded(newer: Newer): Promise<void> {
    const { instanceId, epoch } = newer;
    if (this.#turns.has(instanceId)) {
      this.#newest.set(instanceId, Math.max(epoch, this.#newest.get(instanceId) ?? 0));
    }
    // Also one that is being opened must not touch leases once this is answered.
    await this.#turns.get(instanceId)?.catch(() => undefined);
    const { sessions } = this.#options;
    await sessions.superseded(newer);
    // What cannot go back now is tried again; the other broker takes it back where that takes too long.
    await sessions.retryOwed().catch(() => undefined);
  }

  /** Another broker has let go of its older stream of the instance. */
  left(brokerId: string, instanceId: string): void {
    const waiting = this.#leaving.get(instanceId);
    if (waiting?.brokerId === brokerId) waiting.done();
  }

  #refuseMore(instanceId: string): void {
    const { sessions, maxStreams } = this.#options;
    if (sessions.draining) throw brokerLeaves();
    const replacesOne = sessions.get(instanceId) !== undefined || this.#turns.has(instanceId);
    if (replacesOne) return;
    let count = sessions.count;
    for (const other of this.#turns.keys()) if (sessions.get(other) === undefined) count += 1;
    if (count >= maxStreams) throw tooManyStreams(count);
  }

  async #open(instanceId: string, hello: HelloCall, outlet: Outlet): Promise<Welcomed> {
    const { sessions, moves, log } = this.#options;
    const { workerId, types, capacity, client } = hello;
    const sessionId = randomUUID();
    const facts = { workerId, instanceId, sessionId, types, client };
    // One that is about to end must not count as a live one that is pushed out.
    await sessions.ending(instanceId);
    const opened = await moves.open({ ...facts, types, maxInFlight: capacity.maxInFlight });
    try {
      // First of all: what the worker names it has, also where its ack was lost, and that is kept for it.
      const beats = hello.held.map(({ jobId, token }) => ({ jobId, token, progress: null }));
      const held = beats.length === 0 ? [] : await moves.heartbeat(workerId, beats);
      const kept = held.filter(({ verdict }) => verdict !== "LOST").map(({ jobId }) => jobId);
      // What never reached the older stream's worker goes back unburnt, before all that it does not hold is taken back.
      const older = sessions.get(instanceId);
      if (older !== undefined) await sessions.end(older, supersededBy(opened.supersedes));
      await sessions.ending(instanceId);
      await sessions.retryOwed();
      const elsewhere = opened.other === this.#options.brokerId ? null : opened.other;
      // A first stream has left nothing behind.
      if (opened.epoch > 1 && elsewhere === null) await moves.reclaimUnheld({ instanceId, sessionId }, kept);
      if ((this.#newest.get(instanceId) ?? 0) > opened.epoch) throw supersededBy(opened.supersedes);
      if (sessions.draining) throw brokerLeaves();
      const { windowBytes } = this.#options;
      const session = new WorkSession(facts, capacity, outlet, {
        windowBytes,
        now: performance.now(),
        takesJobs: elsewhere === null,
        onRoom: sessions.onRoom,
      });
      sessions.add(
        session,
        opened.epoch,
        hello.held.flatMap((lease, at) => keptLease(lease, held[at])),
      );
      const ids = { worker: workerId, instance: instanceId, session: sessionId };
      log.info({ ...ids, types, held: kept.length, client }, `worker ${workerId} opened a stream`);
      if (elsewhere !== null) void this.#takeOver(session, opened, elsewhere, kept);
      return { session, held };
    } catch (err) {
      await sessions.closed({ instanceId, sessionId });
      throw err;
    }
  }

  /**
   * The older stream is another broker's: it is told, and gives back unburnt what its worker never saw. Until it has,
   * the new stream is open but gets no jobs, so that the instance never has more than it asked for.
   */
  async #takeOver(session: WorkSession, opened: Opened, brokerId: string, kept: string[]): Promise<void> {
    const { moves, log, onSuperseded, onSeats } = this.#options;
    const { instanceId } = session.facts;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#leaving.set(instanceId, { brokerId, done: resolve });
    onSuperseded({ instanceId, epoch: opened.epoch, times: opened.supersedes });
    await Promise.race([promise, pause(TAKE_OVER_MS)]);
    if (this.#leaving.get(instanceId)?.done === resolve) this.#leaving.delete(instanceId);
    while (session.ended === undefined) {
      try {
        await moves.reclaimUnheld(session.facts, kept);
        break;
      } catch (err) {
        log.warn({ instance: instanceId, err }, "an older stream's leases cannot be taken back yet");
        await pause(AGAIN_MS);
      }
    }
    session.startTaking();
    onSeats();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

function keptLease(lease: LeaseRef, renewal: Renewal | undefined): { lease: LeaseRef; type: string }[] {
  if (renewal === undefined || renewal.verdict === "LOST") return [];
  return [{ lease, type: renewal.type ?? "" }];
}
