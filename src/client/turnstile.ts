/** So many at a time; whoever comes later waits until one has left. */

export class Turnstile {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(places: number) {
    this.#free = places;
  }

  /** Resolves with what leaves again, to be called once; undefined when the signal is aborted before there is a place. */
  async enter(signal: AbortSignal): Promise<(() => void) | undefined> {
    while (this.#free === 0 && !signal.aborted) await this.#turn(signal);
    if (signal.aborted) {
      // The place that it was woken for is another's.
      if (this.#free > 0) this.#wakeOne();
      return undefined;
    }
    this.#free -= 1;
    return () => {
      this.#free += 1;
      this.#wakeOne();
    };
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener("abort", done, { once: true });
    });
  }

  #wakeOne(): void {
    const [wake] = this.#waiting;
    wake?.();
  }
}
