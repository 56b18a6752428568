import fc from "fast-check";
import { expect, test } from "vitest";
import { backoffMs, DEFAULT_BACKOFF } from "../../src/job/retry.ts";

test("waits 2 s after the first attempt and doubles up to 120 s, as the original", () => {
  expect([1, 2, 3, 4, 5, 6, 7, 8, 20].map((n) => backoffMs(n) / 1_000)).toEqual([2, 4, 8, 16, 32, 64, 120, 120, 120]);
});

test("an attempt count of 0 waits as the first attempt", () => {
  expect(backoffMs(0)).toBe(2_000);
});

test("jitter only adds, and no more than its share", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
      const plain = backoffMs(attempt);
      const jittered = backoffMs(attempt, { ...DEFAULT_BACKOFF, jitter: 0.5 }, () => random);
      return jittered >= plain && jittered <= plain * 1.5 + 1;
    }),
  );
});
