/** Full jitter: any time up to a limit that doubles, so that clients of a broker that died do not come back together. */

const BASE_MS = 100;
const MAX_MS = 10_000;

/** The wait before try `failures + 1`. `random` is in 0..1; `atLeastMs` is what the broker asked for, and comes on top. */
export function backoffMs(failures: number, random: number, atLeastMs = 0): number {
  const limitMs = Math.min(MAX_MS, BASE_MS * 2 ** Math.max(0, Math.min(failures, 20) - 1));
  return atLeastMs + Math.round(random * limitMs);
}
