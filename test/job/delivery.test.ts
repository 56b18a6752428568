import { expect, test } from "vitest";
import { circuitPauseMs, deliveryDelayMs, MAX_TRIES, statusAfter } from "../../src/job/delivery.ts";
import { EVENT_KINDS } from "../../src/job/events.ts";
import { STATUSES } from "../../src/job/status.ts";

const none = () => 0;

test("the waits grow from seconds to a day, and come to 54 hours", () => {
  const waits = Array.from({ length: MAX_TRIES - 1 }, (_, n) => deliveryDelayMs(n + 1, none));
  expect(waits.map((ms) => Math.round(ms / 1_000))).toEqual([5, 20, 80, 320, 1_280, 5_120, 20_480, 81_920, 86_400]);
  expect(Math.round(waits.reduce((sum, ms) => sum + ms, 0) / 3_600_000)).toBe(54);
  expect(deliveryDelayMs(1_000_000, none)).toBe(86_400_000);
});

test("jitter only adds, up to a fifth", () => {
  expect(deliveryDelayMs(1, () => 0.999)).toBe(5_999);
  expect(circuitPauseMs(5, () => 0.5)).toBe(5_500);
});

test("an endpoint is left alone from its fifth failure in a row on, for five minutes at most", () => {
  expect([1, 4, 5, 6, 7, 11, 12, 1_000].map((n) => circuitPauseMs(n, none) / 1_000)).toEqual([
    ...[0, 0, 5, 10, 20, 300, 300, 300],
  ]);
});

test("each kind says which state the job is in", () => {
  for (const kind of EVENT_KINDS) expect(STATUSES).toContain(statusAfter(kind));
});
