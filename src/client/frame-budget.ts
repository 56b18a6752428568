/** Keeps a stream below the messages a second that the broker allows: a bucket that fills at that rate. */

/** Of what is allowed: so much in one go, and so much a second. Together less than one, so that any second is below. */
const BURST = 0.2;
const STEADY = 0.7;

export class FrameBudget {
  readonly #perMs: number;
  readonly #max: number;
  #left: number;
  #at: number;

  /** `perSecond` 0: no limit. */
  constructor(perSecond: number, nowMs: number) {
    const allowed = perSecond <= 0 ? Number.POSITIVE_INFINITY : perSecond;
    this.#max = Math.max(1, allowed * BURST);
    this.#perMs = (allowed * STEADY) / 1_000;
    this.#left = this.#max;
    this.#at = nowMs;
  }

  /** Counts one message. */
  spend(nowMs: number): void {
    this.#fill(nowMs);
    this.#left -= 1;
  }

  /** How long to wait before the next message, for one that can wait. */
  waitMs(nowMs: number): number {
    this.#fill(nowMs);
    return this.#left >= 1 ? 0 : Math.ceil((1 - this.#left) / this.#perMs);
  }

  #fill(nowMs: number): void {
    if (this.#max === Number.POSITIVE_INFINITY) return;
    this.#left = Math.min(this.#max, this.#left + (nowMs - this.#at) * this.#perMs);
    this.#at = nowMs;
  }
}
