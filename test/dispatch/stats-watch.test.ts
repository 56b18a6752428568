/** One look for all who watch the numbers, and none while nobody does; on fake time. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createStatsWatches } from "../../src/dispatch/stats-watch.ts";
import type { StatsNow, TypeNow } from "../../src/store/stats-now.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const ZERO = { workers: 0, streaming: 0, legacy: 0, seats: 0, running: 0 };
const typeOf = (due: number) => ({ type: "ocr", due }) as TypeNow;

/** A database whose queue is as long as the test says, and which counts how often it was asked. */
function given(more: { tookMs?: number } = {}) {
  const errors: unknown[] = [];
  const state = { due: 1, looks: 0, isAway: false, errors };
  const watches = createStatsWatches({
    read: async (): Promise<StatsNow> => {
      state.looks += 1;
      if (more.tookMs !== undefined) await vi.advanceTimersByTimeAsync(more.tookMs);
      if (state.isAway) throw new Error("it is away");
      return { types: [typeOf(state.due)], workers: ZERO, countedAt: new Date() };
    },
    everyMs: 2_000,
    onError: (err) => errors.push(err),
    now: () => performance.now(),
  });
  const watch = async () => {
    const told: number[] = [];
    const { leave } = await watches.watch(({ types }) => void told.push(types[0]?.due ?? -1));
    return { told, leave };
  };
  return { state, watches, watch };
}

test("the first frame comes at once, the next when something has changed, and no other", async () => {
  const { state, watch } = given();
  const { told } = await watch();
  expect(told).toEqual([1]);
  await vi.advanceTimersByTimeAsync(6_000);
  expect(told).toEqual([1]);
  expect(state.looks).toBe(4);
  state.due = 5;
  await vi.advanceTimersByTimeAsync(2_000);
  expect(told).toEqual([1, 5]);
});

test("all watchers share a look, and who comes later is told what was seen last", async () => {
  const { state, watch } = given();
  const many = await Promise.all(Array.from({ length: 50 }, watch));
  expect(state.looks).toBe(1);
  await vi.advanceTimersByTimeAsync(1_000);
  const late = await watch();
  expect([state.looks, late.told]).toEqual([1, [1]]);
  state.due = 2;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(state.looks).toBe(2);
  for (const { told } of [...many, late]) expect(told).toEqual([1, 2]);
});

test("nobody looks while nobody watches, and the next who does is told what is then", async () => {
  const { state, watch } = given();
  const { told, leave } = await watch();
  leave();
  state.due = 7;
  await vi.advanceTimersByTimeAsync(60_000);
  expect([state.looks, told]).toEqual([1, [1]]);
  expect((await watch()).told).toEqual([7]);
  expect(state.looks).toBe(2);
});

test("looks that take long are made seldom: they take a twentieth of the time at most", async () => {
  const { state, watch } = given({ tookMs: 500 });
  await watch();
  await vi.advanceTimersByTimeAsync(9_000);
  expect(state.looks).toBe(1);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(state.looks).toBe(2);
});

test("a database that is away refuses the first frame, and later only makes the watchers wait", async () => {
  const { state, watch } = given();
  state.isAway = true;
  await expect(watch()).rejects.toThrow("it is away");
  state.isAway = false;
  const { told } = await watch();
  state.isAway = true;
  await vi.advanceTimersByTimeAsync(4_000);
  expect([told, state.errors.length]).toEqual([[1], 2]);
  state.isAway = false;
  state.due = 3;
  await vi.advanceTimersByTimeAsync(2_000);
  expect(told).toEqual([1, 3]);
});

test("once it is stopped nothing is looked at", async () => {
  const { state, watches, watch } = given();
  await watch();
  watches.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(state.looks).toBe(1);
});
