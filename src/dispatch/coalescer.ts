/** Many small calls become few statements: what arrives while one is under way goes together into the next. */

export interface Coalescer<I, O> {
  /** Resolves with one answer for each item, in order; rejects with what the statement threw. */
  add(items: I[]): Promise<O[]>;
}

/**
 * Runs `run` for one batch at a time, each of at most `maxItems` (a single call may exceed it); with `weigh`, an item
 * may count for more than one. An idle coalescer adds no delay. A batch that fails is run again, each call by itself,
 * unless `again` says that it must not. `run` must answer in the order of its items.
 */
export function createCoalescer<I, O>(
  run: (items: I[]) => Promise<O[]>,
  maxItems: number,
  weigh: (item: I) => number = () => 1,
  again: (err: unknown) => boolean = () => true,
): Coalescer<I, O> {
  type Call = { items: I[]; weight: number; resolve: (answers: O[]) => void; reject: (err: unknown) => void };
  let queue: Call[] = [];
  let running = false;

  function next(): Call[] {
    let size = 0;
    const end = queue.findIndex((call, at) => {
      size += call.weight;
      return at > 0 && size > maxItems;
    });
    const batch = end === -1 ? queue : queue.slice(0, end);
    queue = end === -1 ? [] : queue.slice(end);
    return batch;
  }

  async function settle(batch: Call[]): Promise<void> {
    try {
      const answers = await run(batch.flatMap((call) => call.items));
      let from = 0;
      for (const call of batch) {
        call.resolve(answers.slice(from, from + call.items.length));
        from += call.items.length;
      }
    } catch (err) {
      if (batch.length === 1 || !again(err)) {
        for (const call of batch) call.reject(err);
        return;
      }
      // One row that somebody keeps locked must not cost every worker its heartbeat: each call by itself.
      await Promise.all(batch.map((call) => settle([call])));
    }
  }

  async function drain(): Promise<void> {
    running = true;
    while (queue.length > 0) await settle(next());
    running = false;
  }

  return {
    add(items) {
      const { promise, resolve, reject } = Promise.withResolvers<O[]>();
      const weight = items.reduce((sum, item) => sum + weigh(item), 0);
      queue.push({ items, weight, resolve, reject });
      if (!running) void drain();
      return promise;
    },
  };
}
