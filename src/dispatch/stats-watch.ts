/**
 * Looks at what goes on now, once for all who watch it on this broker, and not at all while nobody does. They are told
 * what has changed, at this pace at most; where a look takes long it is made less often, so that it never takes more
 * than a twentieth of the time.
 */
import type { StatsNow } from "../store/stats-now.ts";
import { runStatement } from "./statement.ts";

export interface StatsWatchesOptions {
  read: () => Promise<StatsNow>;
  everyMs: number;
  onError: (err: unknown) => void;
  /** performance.now(), or a test's own. */
  now?: () => number;
}

export interface StatsWatches {
  /**
   * Tells what is, then what has changed, until it leaves. Resolves once it has been told the first; rejects when the
   * database is away then.
   */
  watch(tell: (stats: StatsNow) => void): Promise<{ leave(): void }>;
  stop(): void;
}

const SHARE = 20;

export function createStatsWatches(options: StatsWatchesOptions): StatsWatches {
  const { read, everyMs, onError, now = () => performance.now() } = options;
  const told = new Set<(stats: StatsNow) => void>();
  let last: { stats: StatsNow; text: string; at: number } | undefined;
  let looking: Promise<StatsNow> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let pauseMs = everyMs;
  let stopped = false;

  async function look(): Promise<StatsNow> {
    const since = now();
    const stats = await runStatement(read);
    pauseMs = Math.max(everyMs, (now() - since) * SHARE);
    const { countedAt: _, ...numbers } = stats;
    const text = JSON.stringify(numbers);
    const isNews = text !== last?.text;
    last = { stats, text, at: now() };
    if (isNews) for (const tell of told) tell(stats);
    return stats;
  }

  /** Whoever asks while one is under way has that one. */
  function lookOnce(): Promise<StatsNow> {
    looking ??= look().finally(() => {
      looking = undefined;
    });
    return looking;
  }

  function later(): void {
    if (timer !== undefined || told.size === 0 || stopped) return;
    timer = setTimeout(() => {
      timer = undefined;
      if (told.size > 0) void lookOnce().catch(onError).finally(later);
    }, pauseMs);
  }

  return {
    async watch(tell) {
      // What is not old yet is as good as a look of its own.
      const isFresh = last !== undefined && now() - last.at < pauseMs;
      tell(isFresh ? (last as { stats: StatsNow }).stats : await lookOnce());
      told.add(tell);
      later();
      return {
        leave() {
          told.delete(tell);
          if (told.size > 0) return;
          clearTimeout(timer);
          timer = undefined;
        },
      };
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
