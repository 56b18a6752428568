/** What waits to be sent on a stream, as the client of Connect reads it. */
export class Outbox<T> implements AsyncIterable<T> {
  readonly #queue: T[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  push(message: T): void {
    this.#queue.push(message);
    this.#wake();
  }

  /** What waits is still sent, then this side of the stream ends. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const [next] = this.#queue.splice(0, 1);
      if (next !== undefined) yield next;
      else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}
