/**
 * Who waits for jobs on this broker. A waiting claim holds a ticket; a ticket is woken when a job that it could take may
 * be there. The streams' dispatcher is told of what the tickets leave. Three things wake: a move on this broker (at once),
 * another broker's bell, and a look at the queue at least every pollMs while anyone waits, which is the truth: it finds
 * what plain SQL wrote, and jobs whose run_at has come. One look serves all tickets, so a thousand idle waiters cost one
 * small query a second.
 */
import type { Due } from "../store/due.ts";
import type { Seat, SeatLease } from "../store/rows.ts";

export interface WaitersOptions {
  /** Looks at the queue, counting at most `limit` due jobs of a type. */
  look: (limit: number) => Promise<Due[]>;
  pollMs: number;
  onError: (err: unknown) => void;
}

export interface Ticket {
  /** True as soon as a job may be there, false after waitMs, on abort, and when the broker stops. */
  woken(waitMs: number, signal: AbortSignal): Promise<boolean>;
  /** Must be called once, whatever came of it. */
  leave(): void;
}

/** Seats that are kept free for jobs which are being dispatched. */
export interface Offer {
  /** What they take; empty: any type. */
  types: string[];
  seats: Seat[];
  /** Must be called once, with the jobs that got a seat: they are sent, and the other seats are free again. */
  close(leases: SeatLease[]): void;
  /** Or this, where nobody knows what became of them: all seats are free again, and none is offered until the queue has been looked at. */
  lost(): void;
}

/** Takes jobs for many at once: the dispatcher of the streams. */
export interface Taker {
  /** How many jobs it would take now. */
  readonly wanting: number;
  /** Seats for jobs of a type with payloads of these sizes, at most; none where an older job may wait for them. */
  offer(type: string, sizes: readonly number[]): Offer | undefined;
  /** Jobs of a type are due, beside those that tickets were woken for. */
  arrived(type: string, count: number): void;
  /** A look begins; its answer comes with this mark. */
  looking(): number;
  /** A look counted these due jobs, and no others; Infinity: as many as it counts, or more. */
  looked(counts: ReadonlyMap<string, number>, mark: number): void;
  /** Something may have become due, and nobody looked. */
  unsure(): void;
}

interface Waiter {
  takes: (type: string) => boolean;
  /** Set while it waits. */
  wake: ((woken: boolean) => void) | null;
  /** Types that arrived while its claim was under way. */
  missed: Set<string>;
}

/** Due jobs of a type that one look counts: enough to wake so many. */
const MOST_COUNTED = 1_000;

/** Until the first look when nobody waited before: nobody knows then what falls due next, nor heard who rang. */
const FIRST_LOOK_MS = 20;

export class Waiters {
  readonly #options: WaitersOptions;
  readonly #waiters = new Set<Waiter>();
  /** Those that wait, in the order in which they began: the longest waiter is woken first. */
  readonly #parked = new Set<Waiter>();
  #taker: Taker | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #lookAgain = false;
  #stopped = false;

  constructor(options: WaitersOptions) {
    this.#options = options;
  }

  /** How many wait now. */
  get waiting(): number {
    return this.#parked.size;
  }

  /** From now on the taker is told of jobs that no ticket takes. */
  attach(taker: Taker): void {
    this.#taker = taker;
  }

  /** The taker wants jobs: the queue is looked at from now on, as long as it does. */
  wanted(): void {
    if (this.#timer === undefined && !this.#looking) this.#schedule(FIRST_LOOK_MS);
  }

  /** Take the ticket before the claim, so that no job can slip in between the claim and the wait. */
  join(types: string[]): Ticket {
    const wanted = new Set(types);
    const waiter: Waiter = { takes: (type) => wanted.size === 0 || wanted.has(type), wake: null, missed: new Set() };
    this.#waiters.add(waiter);
    return {
      woken: (waitMs, signal) => this.#wait(waiter, waitMs, signal),
      leave: () => {
        this.#waiters.delete(waiter);
        this.#parked.delete(waiter);
        // What it was told of and did not look for is passed on, to those that wait: who was busy was told, too.
        for (const type of waiter.missed) this.#wakeOne(type);
      },
    };
  }

  /** Seats of streams for jobs that are about to be dispatched; none while a ticket waits for such a job. */
  offer(type: string, sizes: readonly number[]): Offer | undefined {
    for (const waiter of this.#parked) if (waiter.takes(type)) return undefined;
    return this.#taker?.offer(type, sizes);
  }

  /** Says that `count` jobs of a type have become due. */
  arrived(type: string, count: number): void {
    const left = this.#wake(type, count);
    if (left > 0) this.#taker?.arrived(type, left);
  }

  #wakeOne(type: string): void {
    for (const waiter of this.#parked) {
      if (!waiter.takes(type)) continue;
      this.#unpark(waiter, true);
      return;
    }
  }

  /** Wakes a ticket for each job; answers how many jobs are left. */
  #wake(type: string, count: number): number {
    if (count === 0) return 0;
    for (const waiter of this.#waiters) if (waiter.wake === null && waiter.takes(type)) waiter.missed.add(type);
    let left = count;
    for (const waiter of this.#parked) {
      if (left === 0) break;
      if (!waiter.takes(type)) continue;
      left--;
      this.#unpark(waiter, true);
    }
    return left;
  }

  /** Looks at the queue soon, if anyone waits. */
  lookNow(): void {
    if (this.#anyone) void this.#look();
    else this.#taker?.unsure();
  }

  /** Ends all waits, now and later. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const waiter of [...this.#parked]) this.#unpark(waiter, false);
  }

  get #anyone(): boolean {
    return this.#parked.size > 0 || (this.#taker?.wanting ?? 0) > 0;
  }

  #wait(waiter: Waiter, waitMs: number, signal: AbortSignal): Promise<boolean> {
    if (this.#stopped || signal.aborted) return Promise.resolve(false);
    if (waiter.missed.size > 0) {
      waiter.missed.clear();
      return Promise.resolve(true);
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const giveUp = () => this.#unpark(waiter, false);
    const limit = setTimeout(giveUp, waitMs);
    signal.addEventListener("abort", giveUp, { once: true });
    waiter.wake = (woken) => {
      clearTimeout(limit);
      signal.removeEventListener("abort", giveUp);
      resolve(woken);
    };
    this.#parked.add(waiter);
    if (this.#timer === undefined && !this.#looking) this.#schedule(FIRST_LOOK_MS);
    return promise;
  }

  #unpark(waiter: Waiter, woken: boolean): void {
    const { wake } = waiter;
    this.#parked.delete(waiter);
    waiter.wake = null;
    wake?.(woken);
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#anyone && !this.#stopped) this.#timer = setTimeout(() => void this.#look(), ms);
  }

  async #look(): Promise<void> {
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // Who waited may be gone by now; the next one starts the clock again.
    if (!this.#anyone) return;
    this.#looking = true;
    let nextMs = this.#options.pollMs;
    const mark = this.#taker?.looking() ?? 0;
    try {
      const limit = Math.min(MOST_COUNTED, this.#parked.size + (this.#taker?.wanting ?? 0));
      const left = new Map<string, number>();
      for (const { type, count, nextInMs } of await this.#options.look(limit)) {
        if (nextInMs !== null) nextMs = Math.min(nextMs, Math.max(1, Math.ceil(nextInMs)));
        const unseated = this.#wake(type, count);
        if (count > 0) left.set(type, count >= limit ? Number.POSITIVE_INFINITY : unseated);
      }
      this.#taker?.looked(left, mark);
    } catch (err) {
      this.#options.onError(err);
    } finally {
      this.#looking = false;
      this.#schedule(this.#lookAgain ? 0 : nextMs);
      this.#lookAgain = false;
    }
  }
}
