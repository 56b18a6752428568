/**
 * Reads new events once for all watchers of this broker, and not at all while there are none. Moves of this broker wake
 * it; those of others are found by the poll.
 */
import type { EventPage, EventPlace } from "../store/events.ts";

export interface EventTailOptions {
  /** Up to so many events behind a place, of all jobs; patiently: as far as can be found out. */
  read: (after: EventPlace, limit: number, patiently: boolean) => Promise<EventPage>;
  /** From where on nothing is missed. */
  now: () => Promise<EventPlace>;
  pollMs: number;
  onError: (err: unknown) => void;
}

export interface Joined {
  /** What lies behind it is told, in order and once. */
  from: EventPlace;
  leave(): void;
}

/** A page is one frame of a watch, also where each event has the longest error. */
export const PAGE = 500;
/** Between two reads while events come; what is not safe to tell yet is asked for again soon, then less and less often. */
const LEAST_GAP_MS = 10;
/** Where the bound has not moved for so long, somebody's long transaction holds it: maybe one that writes no events. */
const HELD_MS = 100;

export class EventTail {
  readonly #options: EventTailOptions;
  readonly #told = new Set<(page: EventPage) => void>();
  #place: EventPlace | undefined;
  #starting: Promise<EventPlace> | undefined;
  #gapMs: number;
  /** The furthest so far; while it grows, no transaction holds it. */
  #bound = 0n;
  #movedAt = Number.NEGATIVE_INFINITY;
  #wake: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: EventTailOptions) {
    this.#options = options;
    this.#gapMs = options.pollMs;
  }

  /** Calls back with each page from the place on that it answers with. Rejects when the database is away. */
  async join(onPage: (page: EventPage) => void): Promise<Joined> {
    this.#told.add(onPage);
    try {
      const now = this.#place ?? (await this.#begin());
      // Another may have begun, and be further by now.
      this.#place ??= now;
    } catch (err) {
      this.#told.delete(onPage);
      throw err;
    }
    this.#running ??= this.#run();
    return { from: this.#place, leave: () => this.#leave(onPage) };
  }

  /** Something was written: it can be told soon. */
  nudge(): void {
    if (this.#told.size === 0) return;
    this.#gapMs = LEAST_GAP_MS;
    this.#wake?.();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#running;
  }

  #begin(): Promise<EventPlace> {
    this.#starting ??= this.#options.now().finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  #leave(onPage: (page: EventPage) => void): void {
    this.#told.delete(onPage);
    if (this.#told.size === 0) this.#wake?.();
  }

  async #run(): Promise<void> {
    while (this.#told.size > 0 && !this.#stopped) {
      let more = false;
      try {
        const place = this.#place as EventPlace;
        const page = await this.#options.read(place, PAGE, performance.now() - this.#movedAt > HELD_MS);
        this.#place = page.upTo;
        // A closer look may have seen further than this one does.
        const bound = BigInt(page.boundXid);
        if (bound > this.#bound) {
          this.#bound = bound;
          this.#movedAt = performance.now();
        }
        for (const onPage of this.#told) onPage(page);
        more = page.more;
      } catch (err) {
        this.#options.onError(err);
        this.#gapMs = this.#options.pollMs;
      }
      if (!more) await this.#pause();
    }
    // Whoever comes next begins where things are then.
    this.#place = undefined;
    this.#running = undefined;
  }

  /** Its length doubles from nudge to nudge, up to the poll. */
  async #pause(): Promise<void> {
    if (this.#told.size === 0 || this.#stopped) return;
    const since = performance.now();
    const gap = this.#gapMs;
    this.#gapMs = Math.min(this.#options.pollMs, gap * 2);
    await this.#sleep(gap);
    // Woken early: no more reads than one each LEAST_GAP_MS, however many moves there are.
    const early = LEAST_GAP_MS - (performance.now() - since);
    if (early > 0 && this.#told.size > 0 && !this.#stopped) await this.#sleep(early, false);
  }

  #sleep(ms: number, canWake = true): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(done, ms);
      if (canWake) this.#wake = done;
    });
  }
}
