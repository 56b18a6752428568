/** Many small calls become few statements: what arrives while one is under way goes together into the next. */

import { mayHaveHappened } from "../store/database-errors.ts";

export interface Coalescer<I, O> {
  /** Resolves with one answer for each item, in order; rejects with what the statement threw. */
  add(items: I[]): Promise<O[]>;
}

export interface CoalescerOptions<I> {
  /** What an item counts for; 1 unless told. */
  weigh?: (item: I) => number;
  /** Whether a batch that has failed may be run again, each call by itself; it may unless told. */
  again?: (err: unknown) => boolean;
  /** Batches that may be under way at a time; 1 unless told. With more, one that is held up holds up fewer. */
  width?: number;
}

/**
 * For `again`: a row that somebody keeps locked must not cost every caller, but who has waited for an answer until its
 * connection was given up would wait as long once more, and what it asked for may have happened.
 */
export const unlessLost = (err: unknown) => !mayHaveHappened(err);

/**
 * Runs `run` for one batch after another, each of at most `maxItems` (a single call may exceed it). An idle coalescer
 * adds no delay. `run` must answer in the order of its items.
 */
export function createCoalescer<I, O>(
  run: (items: I[]) => Promise<O[]>,
  maxItems: number,
  { weigh = () => 1, again = () => true, width = 1 }: CoalescerOptions<I> = {},
): Coalescer<I, O> {
  type Call = { items: I[]; weight: number; resolve: (answers: O[]) => void; reject: (err: unknown) => void };
  let queue: Call[] = [];
  let running = 0;

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
    running += 1;
    while (queue.length > 0) await settle(next());
    running -= 1;
  }

  return {
    add(items) {
      const { promise, resolve, reject } = Promise.withResolvers<O[]>();
      const weight = items.reduce((sum, item) => sum + weigh(item), 0);
      queue.push({ items, weight, resolve, reject });
      if (running < width) void drain();
      return promise;
    },
  };
}

/** Coalescers by what the calls of one statement must have in common, each as long as it has any. */
export interface Coalescers<I, O> {
  /** As `Coalescer.add`, in the one of this key; `create` makes it where there is none. */
  add(key: string, items: I[], create: () => Coalescer<I, O>): Promise<O[]>;
}

export function createCoalescers<I, O>(): Coalescers<I, O> {
  const groups = new Map<string, { coalescer: Coalescer<I, O>; calls: number }>();
  return {
    async add(key, items, create) {
      const group = groups.get(key) ?? { coalescer: create(), calls: 0 };
      groups.set(key, group);
      group.calls += 1;
      try {
        return await group.coalescer.add(items);
      } finally {
        group.calls -= 1;
        if (group.calls === 0) groups.delete(key);
      }
    },
  };
}
