import { expect, test } from "vitest";
import { type Histogram, quantileMs, sumOf, withDuration } from "../../src/job/histogram.ts";

const of = (...durations: number[]): Histogram =>
  durations.reduce<Histogram>((counts, ms) => withDuration(counts, ms), []);

test("nothing has no quantile", () => {
  expect(quantileMs([], 0.5)).toBeNull();
  expect(quantileMs([0, 0, 0], 0.95)).toBeNull();
});

test.for([0, 1, 10, 15, 40, 333, 1_000, 61_000, 3_600_000, 40_000_000])(
  "a single duration of %i ms lies between half of its quantiles and twice",
  (ms) => {
    for (const share of [0.01, 0.5, 0.95, 1]) {
      const quantile = quantileMs(of(ms), share) as number;
      expect(quantile).toBeGreaterThanOrEqual(Math.min(ms / 2, 0.1));
      expect(quantile).toBeLessThanOrEqual(Math.max(10, ms * 2));
    }
  },
);

test("the quantiles of many are near theirs", () => {
  const durations = Array.from({ length: 1_000 }, (_, n) => n + 1);
  const counts = of(...durations);
  for (const share of [0.25, 0.5, 0.75, 0.95]) {
    const exact = share * 1_000;
    expect(quantileMs(counts, share) as number, String(share)).toBeGreaterThan(exact / 1.3);
    expect(quantileMs(counts, share) as number, String(share)).toBeLessThan(exact * 1.3);
  }
});

test("a bound belongs to what is below it, and what is above all bounds is told as the last", () => {
  expect(quantileMs(of(20), 1)).toBe(20);
  expect(quantileMs(of(21), 1)).toBe(40);
  expect(quantileMs(of(-5), 1)).toBe(10);
  expect(quantileMs(of(1e12), 0.5)).toBe(10 * 2 ** 23);
});

test("sums of histograms are histograms of both, weights and empty ones too", () => {
  expect(sumOf(of(5, 500), of(70_000))).toEqual(of(5, 500, 70_000));
  expect(sumOf([], of(30))).toEqual(of(30));
  expect(sumOf([], [])).toEqual([]);
  expect(withDuration([], 30, 3)).toEqual(of(30, 30, 30));
});
