/** What only the database knows, read for a scrape: seldom enough that no number of scrapes can hurt it. */

export interface QueueReadingOptions<T> {
  read: () => Promise<T>;
  /** performance.now(), or a test's own. */
  now?: () => number;
  /** How long a scrape waits for the database. */
  waitMs?: number;
}

export interface QueueReading<T> {
  /** The last numbers; undefined when there are none of the last minute. Never rejects. */
  latest(): Promise<T | undefined>;
}

/** Numbers are good for so long, and for longer where they are dear: reading takes a twentieth of the time at most. */
const FRESH_MS = 5_000;
const SHARE = 20;
/** Older ones say nothing any more. */
const STALE_MS = 60_000;
const WAIT_MS = 2_000;

export function createQueueReading<T>(options: QueueReadingOptions<T>): QueueReading<T> {
  const { read, now = () => performance.now(), waitMs = WAIT_MS } = options;
  let last: { numbers: T; at: number; tookMs: number } | undefined;
  let underWay: Promise<void> | undefined;

  async function refresh(): Promise<void> {
    const since = now();
    try {
      const numbers = await read();
      last = { numbers, at: now(), tookMs: now() - since };
    } catch {
      // The database is away, which has its line in the log: a scrape answers with what is known without it.
    } finally {
      underWay = undefined;
    }
  }

  return {
    async latest() {
      if (last === undefined || now() - last.at >= Math.max(FRESH_MS, last.tookMs * SHARE)) {
        underWay ??= refresh();
        await atMost(waitMs, underWay);
      }
      return last !== undefined && now() - last.at < STALE_MS + last.tookMs * SHARE ? last.numbers : undefined;
    },
  };
}

/** Resolves with the promise, or without it when that takes too long. */
async function atMost(ms: number, promise: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, ms);
  await Promise.race([promise, late.promise]);
  clearTimeout(timer);
}
