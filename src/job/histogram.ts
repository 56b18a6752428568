/** How durations are spread, in few numbers that can be added up: so many up to each bound, and so many above all. Pure. */

const FIRST_MS = 10;
/** The bounds double: 10 ms, 20 ms, … to a little less than a day. */
const BOUNDS = 24;

/** Counts from the shortest to the longest; empty: none at all. */
export type Histogram = number[];

/** The same with `weight` more of this duration; one below 0 (a database whose clock was set back) counts as 0. */
export function withDuration(histogram: Readonly<Histogram>, ms: number, weight = 1): Histogram {
  const counts = Array.from({ length: BOUNDS + 1 }, (_, at) => histogram[at] ?? 0);
  const at = ms <= FIRST_MS ? 0 : Math.min(BOUNDS, Math.ceil(Math.log2(ms / FIRST_MS)));
  counts[at] = (counts[at] as number) + weight;
  return counts;
}

/** Both together. */
export function sumOf(a: Readonly<Histogram>, b: Readonly<Histogram>): Histogram {
  const length = Math.max(a.length, b.length);
  return Array.from({ length }, (_, at) => (a[at] ?? 0) + (b[at] ?? 0));
}

/**
 * What so large a share of the durations does not pass, as far as the bounds tell; null where there are none. Between two
 * bounds durations are taken to lie evenly on a scale that doubles; above the last one it is the answer.
 */
export function quantileMs(histogram: Readonly<Histogram>, share: number): number | null {
  const total = histogram.reduce((sum, count) => sum + count, 0);
  if (total <= 0) return null;
  let left = total * share;
  const at = histogram.findIndex((count) => {
    if (left <= count && count > 0) return true;
    left -= count;
    return false;
  });
  // Rounding can leave a little over.
  if (at < 0 || at >= BOUNDS) return FIRST_MS * 2 ** (BOUNDS - 1);
  const part = left / (histogram[at] as number);
  return at === 0 ? FIRST_MS * part : FIRST_MS * 2 ** (at - 1 + part);
}
