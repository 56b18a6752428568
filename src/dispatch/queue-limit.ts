/** MAX_PENDING: refuses dispatches while too much waits. */
import { BrokerError } from "../errors.ts";

export interface QueueLimit {
  /** Throws QUEUE_FULL when `count` more jobs would pass the limit. */
  admit(count: number): Promise<void>;
}

/** A count is used for this long, with what was admitted since added to it. */
const FRESH_MS = 1_000;

/**
 * Counts at most once a second, so the limit is kept to within what other brokers admit in that time. `maxPending` 0
 * means no limit and no count.
 */
export function createQueueLimit(maxPending: number, count: (limit: number) => Promise<number>): QueueLimit {
  let known = 0;
  let countedAt = Number.NEGATIVE_INFINITY;
  return {
    async admit(more) {
      if (maxPending === 0) return;
      if (performance.now() - countedAt > FRESH_MS || known + more > maxPending) {
        known = await count(maxPending);
        countedAt = performance.now();
      }
      if (known + more > maxPending) {
        throw new BrokerError(
          "QUEUE_FULL",
          `jobs: ${more} more would pass MAX_PENDING (${maxPending}; ${known} wait now); nothing was dispatched. ` +
            "Try again when workers have caught up, or raise MAX_PENDING",
          { field: "jobs", retryAfterMs: FRESH_MS },
        );
      }
      known += more;
    },
  };
}
