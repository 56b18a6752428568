/** Whether the other side of a stream is still there. */

export interface Listening {
  /** When nothing was heard for so long, `ping` is called. */
  pingMs: number;
  /** When nothing was heard for so long, `silent` is called, once. */
  silenceMs: number;
  ping(): void;
  silent(): void;
}

export class Listener {
  readonly #options: Listening;
  #heardAt = performance.now();
  #pingedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: Listening) {
    this.#options = options;
    this.#wait();
  }

  /** Something came. */
  heard(): void {
    this.#heardAt = performance.now();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #wait(): void {
    const { pingMs, silenceMs } = this.#options;
    const nextPing = Math.max(this.#heardAt, this.#pingedAt) + pingMs;
    const dueAt = Math.min(this.#heardAt + silenceMs, nextPing);
    this.#timer = setTimeout(() => this.#look(dueAt), Math.max(1, dueAt - performance.now()));
  }

  #look(dueAt: number): void {
    const { pingMs, silenceMs, ping, silent } = this.#options;
    const now = performance.now();
    // A handler held the event loop: what came meanwhile has not been read, so the silence is ours.
    if (now - dueAt > pingMs / 2) this.#heardAt = Math.max(this.#heardAt, now - silenceMs + pingMs);
    if (now - this.#heardAt >= silenceMs) {
      silent();
      return;
    }
    if (now - Math.max(this.#heardAt, this.#pingedAt) >= pingMs - 1) {
      this.#pingedAt = now;
      ping();
    }
    this.#wait();
  }
}
