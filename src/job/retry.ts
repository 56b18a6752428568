/** When a failed job is tried again. */

export interface Backoff {
  /** Delay after the first attempt. */
  baseMs: number;
  /** No delay is longer, before jitter. */
  maxMs: number;
  /** 0..1: up to this share is added at random, so that jobs which failed together do not return together. */
  jitter: number;
}

/** The original's numbers: 2 s after the first attempt, doubling, at most 120 s. */
export const DEFAULT_BACKOFF: Backoff = { baseMs: 2_000, maxMs: 120_000, jitter: 0 };

/** The delay after attempt `attempt` (from 1), in ms: min(max, base · 2^(attempt-1)), and jitter on top, never below. */
export function backoffMs(attempt: number, backoff: Backoff = DEFAULT_BACKOFF, random: () => number = () => 0): number {
  // 2^30 base steps are past any sensible maximum; the bound keeps the power finite, here and in SQL.
  const steps = Math.min(30, Math.max(0, attempt - 1));
  const plain = Math.min(backoff.maxMs, backoff.baseMs * 2 ** steps);
  return Math.round(plain * (1 + backoff.jitter * random()));
}
