/**
 * Gives due jobs to free seats of this broker's streams: one claim of the store for many workers at a time. It runs
 * when jobs arrive and when seats become free, one round after another, and not at all while there is nothing for
 * anyone. What wakes it is told by Waiters, as for long polls; the look at the queue there is the truth.
 */

import type { Seat, SeatLease, WorkersLease } from "../store/rows.ts";
import { DueTypes } from "./due-types.ts";
import { type Group, match } from "./match.ts";
import type { Sessions } from "./sessions.ts";
import type { Offer, Taker } from "./waiters.ts";
import type { WorkSession } from "./work-session.ts";

export interface SeatClaim {
  leases: SeatLease[];
  /** Fewer jobs are due than there were seats. */
  isShort: boolean;
  /** Seats that got nothing since their session is no longer the instance's current one. */
  deadSeats: number;
}

export interface DispatcherOptions {
  sessions: Sessions;
  /** One claim: of these types (empty: any), the nth job for the nth seat. */
  claim: (types: string[], seats: Seat[]) => Promise<SeatClaim>;
  /** Gives leases back unburnt whose stream has ended meanwhile; never rejects. */
  giveBack: (leases: WorkersLease[]) => Promise<unknown>;
  /** A session of these seats is no longer current; resolves when it is ended. */
  onDeadSeats: (seats: Seat[]) => Promise<void>;
  /** Asks for a look at the queue. */
  lookNow: () => void;
  /** While seats are free the queue is looked at so often; after twice the time without a look nothing is sure. */
  pollMs: number;
  onError: (err: unknown) => void;
}

/** Seats in one claim: few at first, since most claims find few jobs, more while they come back full. */
const FEW_SEATS = 32;
const MOST_SEATS = 500;
/** After a failed claim. */
const PAUSE_MS = 200;

export class Dispatcher implements Taker {
  readonly #options: DispatcherOptions;
  readonly #due = new DueTypes();
  #running: Promise<void> | undefined;
  #again = false;
  #most = FEW_SEATS;
  #stopped = false;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #pause: NodeJS.Timeout | undefined;
  /** Sessions that the claim under way is for: what it brings is not on their count yet. */
  #claiming: ReadonlySet<string> = new Set();
  /** Claims and offers under way: for which sessions, and until when. */
  readonly #serving = new Map<Promise<void>, ReadonlySet<string>>();

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** How many jobs its streams would take now. */
  get wanting(): number {
    return this.#options.sessions.wanting;
  }

  arrived(type: string, count: number): void {
    this.#due.arrived(type, count);
    this.#kick();
  }

  looking(): number {
    return this.#due.mark();
  }

  looked(counts: ReadonlyMap<string, number>, mark: number): void {
    this.#lookedAt = performance.now();
    this.#due.looked(counts, mark);
    this.#kick();
  }

  /** The queue may hold anything. */
  unsure(): void {
    this.#due.forget();
  }

  offer(type: string, sizes: readonly number[]): Offer | undefined {
    if (this.#stopped || this.wanting === 0) return undefined;
    const sessions = this.#options.sessions.withRoom().filter((session) => this.#mayBeOffered(session));
    const count = sizes.length;
    const [group] = match(sessions, { expected: (of) => (of === type ? count : 0), list: () => [type] }, count).groups;
    if (group === undefined || !this.#isEmpty(group.types)) return undefined;
    const chosen = group.seats.map((at) => sessions[at] as WorkSession);
    const unreserve = chosen.map((session, nth) => session.reserve(type, sizes[nth] as number));
    const seats = chosen.map(({ facts }) => facts);
    const served = this.#serve(seats);
    const end = (settle: () => Promise<unknown>) => {
      for (const undo of unreserve) undo();
      settle().catch(this.#options.onError).finally(served);
      this.#kick();
    };
    return {
      types: group.types,
      seats,
      close: (leases) => end(() => this.#deliver(leases)),
      lost: () => {
        // The queue may hold any of them: none is offered a seat until it is looked at.
        this.#due.forget();
        end(async () => undefined);
      },
    };
  }

  /**
   * Not while a claim for it is under way, nor where a worker takes any type but some: which lanes it takes from could
   * only be told with the queue's types.
   */
  #mayBeOffered({ facts, types, freeByType }: WorkSession): boolean {
    if (this.#claiming.has(facts.sessionId)) return false;
    return types.length > 0 || [...freeByType.values()].every((free) => free > 0);
  }

  /** Whether no due job of these types (empty: of any) is known. */
  #isEmpty(types: readonly string[]): boolean {
    return types.length === 0 ? this.#due.idle : types.every((type) => this.#due.expected(type) === 0);
  }

  /** Seats may have become free. */
  seats(): void {
    if (performance.now() - this.#lookedAt > 2 * this.#options.pollMs) this.#due.forget();
    this.#kick();
  }

  /** No more claims; resolves when the one under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#pause);
    await this.#running;
    await Promise.all(this.#serving.keys());
  }

  #kick(): void {
    this.#again = true;
    if (this.#stopped || this.#running !== undefined || this.#pause !== undefined) return;
    this.#running = this.#rounds().finally(() => {
      this.#running = undefined;
      if (this.#again) this.#kick();
    });
  }

  async #rounds(): Promise<void> {
    // What arrives in this turn of the event loop goes into one claim.
    await Promise.resolve();
    while (this.#again && !this.#stopped) {
      this.#again = false;
      try {
        await this.#round();
      } catch (err) {
        this.#options.onError(err);
        this.#again = true;
        this.#pause = setTimeout(() => {
          this.#pause = undefined;
          this.#kick();
        }, PAUSE_MS);
        return;
      }
    }
  }

  async #round(): Promise<void> {
    if (this.#due.idle || this.wanting === 0) return;
    const sessions = this.#options.sessions.withRoom();
    const { groups, needsLook } = match(sessions, this.#due, this.#most);
    if (needsLook) this.#options.lookNow();
    for (const group of groups) {
      await this.#claim(group, sessions);
      // A full answer, or a worker's own limits, may leave jobs and seats: match again until one of them is used up.
      this.#again = true;
    }
  }

  async #claim({ types, seats }: Group, sessions: WorkSession[]): Promise<void> {
    const { claim, onDeadSeats } = this.#options;
    const mark = this.#due.mark();
    const wanted = stillFree(
      types,
      seats.map((at) => sessions[at] as WorkSession),
    );
    if (wanted.length === 0) return;
    const served = this.#serve(wanted);
    this.#claiming = new Set(wanted.map(({ sessionId }) => sessionId));
    let deadSeats: number;
    try {
      const claimed = await claim(types, wanted);
      deadSeats = claimed.deadSeats;
      this.#learn(types, claimed, mark);
      await this.#deliver(claimed.leases);
    } finally {
      this.#claiming = new Set();
      served();
    }
    // Else they would be offered again at once.
    if (deadSeats > 0) await onDeadSeats(wanted);
  }

  /** Sends the jobs; those whose stream has ended meanwhile go back. */
  async #deliver(leases: SeatLease[]): Promise<void> {
    const orphans = this.#options.sessions.deliver(leases);
    if (orphans.length > 0) await this.#options.giveBack(orphans);
  }

  /** Something is under way that may bring jobs for these seats, until the answer is called. */
  #serve(seats: Seat[]): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#serving.set(promise, new Set(seats.map(({ sessionId }) => sessionId)));
    return () => {
      this.#serving.delete(promise);
      resolve();
    };
  }

  /** Resolves when nothing is under way that may still bring jobs for this session. */
  async served(sessionId: string): Promise<void> {
    for (const [served, sessions] of this.#serving) if (sessions.has(sessionId)) await served;
  }

  #learn(types: string[], { leases, isShort }: SeatClaim, mark: number): void {
    const taken = new Map<string, number>();
    for (const { type } of leases) taken.set(type, (taken.get(type) ?? 0) + 1);
    this.#due.claimed(types, taken, isShort, mark);
    this.#most = isShort ? FEW_SEATS : Math.min(MOST_SEATS, this.#most * 4);
  }
}

/** The groups before this one took their time: a worker may have left since, or take less. */
function stillFree(types: string[], seats: WorkSession[]): Seat[] {
  const left = new Map<WorkSession, number>();
  return seats.flatMap((session) => {
    const free = left.get(session) ?? roomFor(types, session);
    left.set(session, free - 1);
    return free > 0 ? [session.facts] : [];
  });
}

/** How many jobs it may get without passing any limit, whichever of the types they are. */
function roomFor(types: string[], { free, freeByType }: WorkSession): number {
  if (types.length === 0) return Math.min(free, ...freeByType.values());
  return Math.min(free, ...types.flatMap((type) => freeByType.get(type) ?? []));
}
