/** Things that come, and a test that waits for them. */
export class Mailbox<T> implements AsyncIterable<T> {
  readonly #things: T[] = [];
  readonly #takers: ((thing: [T] | undefined) => void)[] = [];
  #ended: { error: Error | undefined } | undefined;

  put(thing: T): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#things.push(thing);
    else taker([thing]);
  }

  /** Nothing more comes; whoever waits is told. */
  end(error?: Error): void {
    this.#ended ??= { error };
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  /** The next one; rejects after 10 s without, or when nothing more comes. */
  async take(what = "something to come"): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error(`Waited 10 s in vain for ${what}.`)), 10_000);
    const next = await Promise.race([this.#next(), late.promise]).finally(() => clearTimeout(timer));
    if (next === undefined) throw new Error(`Nothing more comes: waited in vain for ${what}.`);
    return next[0];
  }

  /** What is there now. */
  get waiting(): readonly T[] {
    return this.#things;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (let next = await this.#next(); next !== undefined; next = await this.#next()) yield next[0];
    if (this.#ended?.error !== undefined) throw this.#ended.error;
  }

  async #next(): Promise<[T] | undefined> {
    if (this.#things.length > 0) return [this.#things.shift() as T];
    if (this.#ended !== undefined) return undefined;
    return await new Promise((resolve) => this.#takers.push(resolve));
  }
}
