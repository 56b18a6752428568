/** What waits to be written to one stream: bounded, since a peer that does not read must not fill our memory. */

export interface OutboxLimits {
  /** Messages that wait at most. */
  messages: number;
  /** Their bytes at most; one larger message fits when it is alone. */
  bytes: number;
}

export class Outbox<T> implements AsyncIterable<T> {
  readonly #limits: OutboxLimits;
  #queue: { message: T; bytes: number }[] = [];
  #bytes = 0;
  #ended: { error: unknown } | undefined;
  #wake: (() => void) | undefined;
  #lower: { bytes: number; resolve: () => void }[] = [];

  constructor(limits: OutboxLimits) {
    this.#limits = limits;
  }

  /** Bytes that wait. */
  get waiting(): number {
    return this.#bytes;
  }

  /** Resolves when no more than so many bytes wait, or it has ended. */
  below(bytes: number): Promise<void> {
    if (this.#bytes <= bytes || this.#ended !== undefined) return Promise.resolve();
    return new Promise((resolve) => this.#lower.push({ bytes, resolve }));
  }

  /** False when it is full or has ended: the message was not taken. */
  push(message: T, bytes: number): boolean {
    const full =
      this.#queue.length >= this.#limits.messages || (this.#bytes > 0 && this.#bytes + bytes > this.#limits.bytes);
    if (this.#ended !== undefined || full) return false;
    this.#queue.push({ message, bytes });
    this.#bytes += bytes;
    this.#wake?.();
    return true;
  }

  /** What waits is still read, then the reader ends, or gets the error. */
  end(error?: unknown): void {
    this.#ended ??= { error };
    this.#wake?.();
    this.#tellLower();
  }

  #tellLower(): void {
    if (this.#lower.length === 0) return;
    const isLow = ({ bytes }: { bytes: number }) => this.#bytes <= bytes || this.#ended !== undefined;
    const [low, rest] = [this.#lower.filter(isLow), this.#lower.filter((one) => !isLow(one))];
    this.#lower = rest;
    for (const { resolve } of low) resolve();
  }

  /** For one reader. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) {
        this.#bytes -= next.bytes;
        this.#tellLower();
        yield next.message;
        continue;
      }
      if (this.#ended !== undefined) {
        if (this.#ended.error !== undefined) throw this.#ended.error;
        return;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
