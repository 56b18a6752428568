/**
 * The Work streams of this broker: which lease is on which stream, and how a stream ends. A stream's end never ends a
 * lease that its worker knows of: it may come back for it.
 */
import type { Logger } from "pino";
import type { BrokerError } from "../errors.ts";
import type { LeaseRef, SeatLease } from "../store/rows.ts";
import type { SessionRef } from "../store/sessions.ts";
import type { Newer } from "./courier.ts";
import { Returns, type ReturnsOptions } from "./returns.ts";
import { silent, slowReader, supersededBy } from "./session-faults.ts";
import type { Capacity, WorkSession } from "./work-session.ts";

/** What the streams need of the store. Each rejects with BrokerError when the database is away. */
export interface SessionMoves {
  end(ref: SessionRef): Promise<unknown>;
  resize(ref: SessionRef & { maxInFlight: number }): Promise<unknown>;
  giveBack: ReturnsOptions["giveBack"];
}

export interface StreamLimits {
  /** A worker from which nothing came for so long is pinged. */
  pingMs: number;
  /** And taken for gone after this. */
  silenceMs: number;
  /** A frame of jobs that is not acked within this ends the stream. */
  ackMs: number;
}

export interface SessionsOptions {
  limits: StreamLimits;
  moves: SessionMoves;
  log: Logger;
  /** Seats may have become free. */
  onSeats: () => void;
  /** Resolves when no claim is under way that may still bring jobs for the session. */
  onEnding: (session: WorkSession) => Promise<void>;
  /** A stream has begun: its types may be ones that nobody took before. */
  onOpened: () => void;
  /** Gives back what statements without an answer have leased; absent: it runs out. */
  settleLost?: () => Promise<void>;
}

/** What a leaving worker sent together with its last report is on its way, and gets its answer, too. */
const LINGER_MS = 50;
const MOST_SPREAD_MS = 10_000;

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #byInstance = new Map<string, { session: WorkSession; epoch: number }>();
  readonly #byToken = new Map<string, WorkSession>();
  /** Those that take jobs now, and how many; the longest unserved first. */
  readonly #room = new Map<WorkSession, number>();
  /** How many all of them take. */
  #wanting = 0;
  /** Ends under way, by instance: what is given back must be back before the next stream of the instance looks. */
  readonly #ending = new Map<string, Promise<void>>();
  readonly #returns: Returns;
  #onEmpty: (() => void)[] = [];
  draining = false;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#returns = new Returns({ giveBack: options.moves.giveBack, log: options.log });
  }

  get count(): number {
    return this.#byInstance.size;
  }

  /** Jobs that all streams together would take now. */
  get wanting(): number {
    return this.#wanting;
  }

  /** The streams that take jobs now, the longest unserved first. */
  withRoom(): WorkSession[] {
    return [...this.#room.keys()];
  }

  /** For the sessions' onRoom. */
  readonly onRoom = (session: WorkSession): void => {
    const free = this.get(session.facts.instanceId) === session ? session.free : 0;
    this.#wanting += free - (this.#room.get(session) ?? 0);
    if (free === 0) this.#room.delete(session);
    else this.#room.set(session, free);
  };

  all(): WorkSession[] {
    return [...this.#byInstance.values()].map(({ session }) => session);
  }

  get(instanceId: string): WorkSession | undefined {
    return this.#byInstance.get(instanceId)?.session;
  }

  /** Its seats are offered from now on, but for those of the leases that it brought along. */
  add(session: WorkSession, epoch: number, kept: { lease: LeaseRef; type: string }[]): void {
    for (const { lease, type } of kept) {
      // It may come from a stream of another instance: a lease is on one stream only.
      const other = this.#byToken.get(lease.token);
      if (other?.drop(lease)) this.#endIfDone(other);
      session.keep(lease, type);
      this.#byToken.set(lease.token, session);
    }
    this.#byInstance.set(session.facts.instanceId, { session, epoch });
    this.onRoom(session);
    this.#options.onOpened();
  }

  resize(session: WorkSession, capacity: Capacity): void {
    session.resize(capacity);
    const { instanceId, sessionId } = session.facts;
    // For operators only, so a failure costs nothing.
    void this.#options.moves
      .resize({ instanceId, sessionId, maxInFlight: capacity.maxInFlight })
      .catch((err: unknown) => this.#options.log.debug({ err }, "a stream's capacity could not be written down"));
    this.#options.onSeats();
  }

  /** Sends what was claimed for sessions; answers what cannot be sent, since its session has ended meanwhile. */
  deliver(leases: SeatLease[]): SeatLease[] {
    const frames = new Map<WorkSession, SeatLease[]>();
    const orphans: SeatLease[] = [];
    for (const lease of leases) {
      const session = this.get(lease.instanceId);
      if (session?.facts.sessionId !== lease.sessionId || !session.takesJobs) {
        orphans.push(lease);
        continue;
      }
      this.#byToken.set(lease.token, session);
      const frame = frames.get(session);
      if (frame === undefined) frames.set(session, [lease]);
      else frame.push(lease);
    }
    const now = performance.now();
    for (const [session, frame] of frames) {
      session.push(frame, now);
      const free = this.#room.get(session);
      if (free === undefined) continue;
      // Served just now: of equally loaded ones it is the last.
      this.#room.delete(session);
      this.#room.set(session, free);
    }
    return orphans;
  }

  /** A message came from the worker. */
  heard(session: WorkSession, ackSeq: number): void {
    session.heardAt = performance.now();
    if (session.ack(ackSeq)) this.#options.onSeats();
  }

  /** The lease has ended, by a report or release of its worker. False when it is on no stream here. */
  settled(lease: LeaseRef): boolean {
    const session = this.#byToken.get(lease.token);
    if (session === undefined) return false;
    if (session.drop(lease)) this.#forget(session, lease.token);
    return true;
  }

  /** The lease was taken away; its worker hears it at once. False when it is on no stream here. */
  lost(token: string): boolean {
    const session = this.#byToken.get(token);
    if (session === undefined) return false;
    session.cancel(token, "LOST");
    this.#forget(session, token);
    return true;
  }

  #forget(session: WorkSession, token: string): void {
    this.#byToken.delete(token);
    this.#endIfDone(session);
    this.#options.onSeats();
  }

  /** The job is to be cancelled; its worker hears it at once. False when it is on no stream here. */
  cancelled(token: string): boolean {
    const session = this.#byToken.get(token);
    session?.cancel(token, "CANCELLED");
    return session !== undefined;
  }

  /** Another broker has a newer stream of the instance. Resolves when what goes back of the older one is back. */
  async superseded({ instanceId, epoch, times }: Newer): Promise<void> {
    const entry = this.#byInstance.get(instanceId);
    if (entry !== undefined && entry.epoch < epoch) await this.end(entry.session, supersededBy(times));
    else await this.ending(instanceId);
  }

  /** Resolves when no stream of the instance is about to end. */
  async ending(instanceId: string): Promise<void> {
    await this.#ending.get(instanceId);
  }

  /** The worker wants no more jobs; its stream ends when it has none left. */
  leave(session: WorkSession, reason = ""): void {
    const { workerId: worker, instanceId: instance, sessionId } = session.facts;
    if (!session.isLeaving)
      this.#options.log.debug({ worker, instance, session: sessionId, why: reason }, "a stream drains");
    session.isLeaving = true;
    session.stopTaking();
    this.#endIfDone(session);
  }

  /**
   * Ends a stream; jobs of unacked frames go back with no attempt spent, the others stay leased. Resolves when they are
   * back. A second call changes nothing and waits for the same.
   */
  end(session: WorkSession, fault: BrokerError | null): Promise<void> {
    if (session.ended !== undefined) return session.ended;
    const { instanceId } = session.facts;
    const ended = this.#end(session, fault).finally(() => {
      if (this.#ending.get(instanceId) === ended) this.#ending.delete(instanceId);
    });
    session.ended = ended;
    this.#ending.set(instanceId, ended);
    this.onRoom(session);
    return ended;
  }

  async #end(session: WorkSession, fault: BrokerError | null): Promise<void> {
    const { instanceId, sessionId, workerId } = session.facts;
    const unacked = session.unacked();
    if (this.get(instanceId) === session) this.#byInstance.delete(instanceId);
    for (const { token } of session.leases()) if (this.#byToken.get(token) === session) this.#byToken.delete(token);
    session.outlet.end(fault);
    const ending = fault === null ? {} : { reason: fault.reason };
    const counts = { held: session.held - unacked.length, returned: unacked.length };
    const ids = { worker: workerId, instance: instanceId, session: sessionId };
    const words = `the stream of worker ${workerId} ended: ${fault?.reason ?? "OK"}`;
    this.#options.log.info({ ...ids, ...ending, ...counts }, words);
    if (unacked.length > 0) await this.giveBack(workerId, unacked);
    await this.#options.onEnding(session);
    await this.closed({ instanceId, sessionId });
    if (this.#byInstance.size === 0) for (const resolve of this.#onEmpty.splice(0)) resolve();
  }

  /** Writes down that a stream is no more. For operators only: a stream that lost its broker counts as ended, too. */
  async closed(ref: SessionRef): Promise<void> {
    await this.#options.moves
      .end(ref)
      .catch((err: unknown) => this.#options.log.debug({ err }, "the end of a stream could not be written down"));
  }

  /** Gives back jobs whose worker never saw them: now, or as soon as the database is there again. */
  giveBack(workerId: string, leases: LeaseRef[]): Promise<void> {
    return this.#returns.giveBack(workerId, leases);
  }

  /** Tries again what could not be given back, and looks for what was leased by statements without an answer. */
  async retryOwed(): Promise<void> {
    await Promise.all([this.#returns.retry(), this.#options.settleLost?.()]);
  }

  /** Pings the streams that are silent and ends those that stay so, or do not ack. */
  tick(now = performance.now()): void {
    const { pingMs, silenceMs, ackMs } = this.#options.limits;
    for (const session of this.all()) {
      const silentMs = now - session.heardAt;
      const unackedMs = now - (session.waitsForAckSince ?? now);
      if (silentMs >= silenceMs) void this.end(session, silent(silenceMs));
      else if (unackedMs >= ackMs) void this.end(session, slowReader(`did not ack its jobs within ${ackMs} ms`));
      else if (silentMs >= pingMs && now - session.pingedAt >= pingMs) {
        session.pingedAt = now;
        session.outlet.ping();
      }
    }
  }

  /** No more jobs; each stream is told to go elsewhere and ends when its work is done, at the latest after graceMs. */
  async drain(graceMs: number): Promise<void> {
    this.draining = true;
    const open = this.all();
    // A few milliseconds a worker, so that thousands do not arrive at the next broker at once.
    const spreadMs = Math.min(MOST_SPREAD_MS, 100 + open.length * 2);
    for (const session of open) {
      session.outlet.drain(Math.round(Math.random() * spreadMs), graceMs);
      this.leave(session);
    }
    const empty = new Promise<void>((resolve) => this.#onEmpty.push(resolve));
    if (this.#byInstance.size > 0) {
      const deadline = setTimeout(() => {
        for (const session of this.all()) void this.end(session, null);
      }, graceMs);
      await empty.finally(() => clearTimeout(deadline));
    }
    await Promise.all(this.#ending.values());
  }

  /** Once what it sent is answered, its last report first of all. */
  #endIfDone(session: WorkSession): void {
    const isDone = () => session.isLeaving && session.held === 0 && session.ended === undefined;
    if (!isDone()) return;
    setTimeout(async () => {
      await session.outlet.answered();
      if (isDone()) await this.end(session, null);
    }, LINGER_MS);
  }
}
