import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Waiters } from "../../src/dispatch/waiters.ts";
import type { Due } from "../../src/store/due.ts";

const NEVER = new AbortController().signal;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function setUp(answers: Due[][] = []) {
  const limits: number[] = [];
  const errors: unknown[] = [];
  const waiters = new Waiters({
    look: async (limit) => {
      limits.push(limit);
      return answers.shift() ?? [];
    },
    pollMs: 1_000,
    onError: (err) => errors.push(err),
  });
  return { waiters, limits, errors };
}

test("a job that arrives wakes the one that waits longest and takes its type", async () => {
  const { waiters } = setUp();
  const woken: string[] = [];
  for (const [name, types] of [
    ["any", []],
    ["ocr-1", ["ocr"]],
    ["ocr-2", ["ocr"]],
  ] as const) {
    void waiters
      .join([...types])
      .woken(30_000, NEVER)
      .then((yes) => woken.push(`${name} ${yes}`));
  }
  waiters.arrived("embedding", 5);
  await vi.advanceTimersByTimeAsync(0);
  expect(woken).toEqual(["any true"]);
  waiters.arrived("ocr", 1);
  await vi.advanceTimersByTimeAsync(0);
  expect(woken).toEqual(["any true", "ocr-1 true"]);
  expect(waiters.waiting).toBe(1);
});

test("a job that arrives between the claim and the wait is not missed", async () => {
  const { waiters } = setUp();
  const ticket = waiters.join(["ocr"]);
  waiters.arrived("ocr", 1);
  await expect(ticket.woken(30_000, NEVER)).resolves.toBe(true);
});

test("what a leaving ticket was told of is passed on to who waits", async () => {
  const { waiters } = setUp();
  const busy = waiters.join(["ocr"]);
  // Nobody else waits yet, so the news stays with the busy one.
  waiters.arrived("ocr", 1);
  const waiting = waiters.join(["ocr"]).woken(30_000, NEVER);
  busy.leave();
  await expect(waiting).resolves.toBe(true);
});

test("a wait ends after its time, on abort, and when the broker stops", async () => {
  const { waiters } = setUp();
  const timed = waiters.join([]).woken(5_000, NEVER);
  const caller = new AbortController();
  const aborted = waiters.join([]).woken(30_000, caller.signal);
  const stopped = waiters.join([]).woken(30_000, NEVER);
  await vi.advanceTimersByTimeAsync(5_000);
  await expect(timed).resolves.toBe(false);
  caller.abort();
  await expect(aborted).resolves.toBe(false);
  waiters.stop();
  await expect(stopped).resolves.toBe(false);
  await expect(waiters.join([]).woken(30_000, NEVER)).resolves.toBe(false);
  expect(waiters.waiting).toBe(0);
});

test("one look a second finds what nobody told of, whoever many wait", async () => {
  const { waiters, limits } = setUp([[], [{ type: "ocr", count: 2, nextInMs: null }]]);
  const waits = Array.from({ length: 3 }, () => waiters.join(["ocr"]).woken(30_000, NEVER));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(limits).toEqual([3]);
  await vi.advanceTimersByTimeAsync(1_000);
  await expect(Promise.all(waits.slice(0, 2))).resolves.toEqual([true, true]);
  expect(limits).toEqual([3, 3]);
  expect(waiters.waiting).toBe(1);
  waiters.stop();
});

test("the next look comes as soon as the next run_at", async () => {
  const { waiters, limits } = setUp([
    [{ type: "ocr", count: 0, nextInMs: 40 }],
    [{ type: "ocr", count: 1, nextInMs: null }],
  ]);
  const wait = waiters.join(["ocr"]).woken(30_000, NEVER);
  waiters.lookNow();
  await vi.advanceTimersByTimeAsync(39);
  expect(limits).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  await expect(wait).resolves.toBe(true);
});

test("who begins to wait learns at once when the next job is due, however long ago it was stored", async () => {
  const { waiters, limits } = setUp([
    [{ type: "ocr", count: 0, nextInMs: 100 }],
    [{ type: "ocr", count: 1, nextInMs: null }],
  ]);
  const wait = waiters.join(["ocr"]).woken(30_000, NEVER);
  await vi.advanceTimersByTimeAsync(150);
  await expect(wait).resolves.toBe(true);
  expect(limits).toEqual([1, 1]);
});

test("nobody waits, nothing is looked at", async () => {
  const { waiters, limits } = setUp();
  const ticket = waiters.join([]);
  const wait = ticket.woken(10, NEVER);
  await vi.advanceTimersByTimeAsync(10);
  await wait;
  ticket.leave();
  waiters.lookNow();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(limits).toEqual([]);
});

test("a failed look is told of and tried again", async () => {
  let fail = true;
  const errors: unknown[] = [];
  const waiters = new Waiters({
    look: async () => {
      if (fail) throw new Error("away");
      return [{ type: "ocr", count: 1, nextInMs: null }];
    },
    pollMs: 1_000,
    onError: (err) => errors.push(err),
  });
  const wait = waiters.join([]).woken(30_000, NEVER);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(errors).toHaveLength(2);
  fail = false;
  await vi.advanceTimersByTimeAsync(1_000);
  await expect(wait).resolves.toBe(true);
});
