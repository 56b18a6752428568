/** Waiters with a taker beside the tickets: the dispatcher of the streams, here one that writes down what it hears. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Taker, Waiters } from "../../src/dispatch/waiters.ts";
import type { Due } from "../../src/store/due.ts";

const NEVER = new AbortController().signal;
const POLL_MS = 1_000;
/** How soon the first look comes. */
const FIRST_MS = 20;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const turn = () => vi.advanceTimersByTimeAsync(0);
const due = (type: string, count: number, nextInMs: number | null = null): Due => ({ type, count, nextInMs });

function setUp(wants = 0, answers: Due[][] = []) {
  const heard: string[] = [];
  const limits: number[] = [];
  let marks = 0;
  const taker = {
    wanting: wants,
    offer: () => undefined,
    arrived: (type: string, count: number) => void heard.push(`arrived ${type} ${count}`),
    looking: () => ++marks,
    looked(counts: ReadonlyMap<string, number>, mark: number) {
      heard.push(`looked ${mark}: ${[...counts].map(([type, count]) => `${type} ${count}`).join(", ") || "nothing"}`);
    },
    unsure: () => void heard.push("unsure"),
  } satisfies Taker;
  const look = { gate: undefined as Promise<void> | undefined, fails: false };
  const waiters = new Waiters({
    look: async (limit) => {
      limits.push(limit);
      await look.gate;
      if (look.fails) throw new Error("away");
      return answers.shift() ?? [];
    },
    pollMs: POLL_MS,
    onError: () => heard.push("error"),
  });
  waiters.attach(taker);
  const wait = (...types: string[]) => waiters.join(types).woken(60_000, NEVER);
  return { waiters, taker, heard, limits, look, wait };
}

describe("jobs that arrive", () => {
  test("go to tickets first, one each, and what is left to the taker", () => {
    const { waiters, heard, wait } = setUp(9);
    void wait("a");
    void wait();
    void wait("b");
    waiters.arrived("a", 5);
    expect([heard, waiters.waiting]).toEqual([["arrived a 3"], 1]);
    waiters.arrived("b", 1);
    expect([heard, waiters.waiting]).toEqual([["arrived a 3"], 0]);
  });

  test("are told to the taker though a ticket's claim is under way: it may have been too early", () => {
    const { waiters, heard } = setUp(9);
    waiters.join(["a"]);
    waiters.arrived("a", 1);
    expect(heard).toEqual(["arrived a 1"]);
  });

  test("are told to the taker also while it wants none, and without a taker to nobody", () => {
    const { waiters, heard } = setUp(0);
    waiters.arrived("a", 2);
    expect(heard).toEqual(["arrived a 2"]);
    const alone = new Waiters({ look: async () => [], pollMs: POLL_MS, onError: () => undefined });
    expect(() => alone.arrived("a", 2)).not.toThrow();
  });

  test("news that a ticket passes on when it leaves dies out, however many claims overlap", () => {
    const { waiters, heard } = setUp(9);
    let busy = waiters.join(["a"]);
    waiters.arrived("a", 1);
    for (let n = 0; n < 20; n++) {
      const next = waiters.join(["a"]);
      busy.leave();
      busy = next;
    }
    busy.leave();
    expect(heard.length).toBeLessThanOrEqual(3);
  });

  test("news that a ticket passes on still wakes who began to wait meanwhile", async () => {
    const { waiters, wait } = setUp(0);
    const busy = waiters.join(["a"]);
    waiters.arrived("a", 1);
    const waiting = wait("a");
    busy.leave();
    await expect(waiting).resolves.toBe(true);
  });
});

describe("looks at the queue", () => {
  test("begin as soon as the taker wants jobs, and go on once a poll for as long as it does", async () => {
    const { waiters, taker, limits } = setUp(0);
    await vi.advanceTimersByTimeAsync(10 * POLL_MS);
    expect(limits).toEqual([]);
    taker.wanting = 3;
    waiters.wanted();
    waiters.wanted();
    await vi.advanceTimersByTimeAsync(FIRST_MS);
    expect(limits).toEqual([3]);
    await vi.advanceTimersByTimeAsync(5 * POLL_MS);
    expect(limits).toHaveLength(6);
    taker.wanting = 0;
    await vi.advanceTimersByTimeAsync(10 * POLL_MS);
    expect(limits).toHaveLength(6);
    taker.wanting = 1;
    waiters.wanted();
    await vi.advanceTimersByTimeAsync(FIRST_MS);
    expect(limits).toHaveLength(7);
  });

  test("are not made when the taker wants nothing any more by the time they are due", async () => {
    const { waiters, taker, limits } = setUp(1);
    waiters.wanted();
    taker.wanting = 0;
    await vi.advanceTimersByTimeAsync(POLL_MS);
    expect(limits).toEqual([]);
  });

  test("count for tickets and taker together, and at most a thousand", async () => {
    const { waiters, taker, limits, wait } = setUp(3);
    void wait("a");
    void wait("b");
    waiters.lookNow();
    await turn();
    taker.wanting = 5_000;
    waiters.lookNow();
    await turn();
    expect(limits).toEqual([5, 1_000]);
    waiters.stop();
  });

  test("tell the taker what the tickets leave, with the mark of their beginning", async () => {
    const { waiters, heard, wait } = setUp(9, [[due("a", 3), due("b", 1), due("c", 0)]]);
    void wait("a");
    void wait("b");
    waiters.lookNow();
    await turn();
    expect(heard).toEqual(["looked 1: a 2, b 0"]);
    expect(waiters.waiting).toBe(0);
  });

  test("that count as many as they may say that there may be more", async () => {
    const { waiters, heard, wait } = setUp(1, [[due("a", 2), due("b", 1)]]);
    void wait("a");
    waiters.lookNow();
    await turn();
    expect(heard).toEqual(["looked 1: a Infinity, b 1"]);
  });

  test("that find nothing say so", async () => {
    const { waiters, heard } = setUp(9);
    waiters.lookNow();
    await turn();
    expect(heard).toEqual(["looked 1: nothing"]);
  });

  test("come again at the next run_at, for the taker alone, too", async () => {
    const { waiters, limits } = setUp(9, [[due("a", 0, 300)], [due("a", 1)]]);
    waiters.wanted();
    await vi.advanceTimersByTimeAsync(FIRST_MS + 299);
    expect(limits).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(limits).toHaveLength(2);
  });

  test("that fail are no answer to the taker, and the next one comes after a poll", async () => {
    const { waiters, heard, look, limits } = setUp(9);
    look.fails = true;
    waiters.lookNow();
    await turn();
    expect(heard).toEqual(["error"]);
    look.fails = false;
    await vi.advanceTimersByTimeAsync(POLL_MS);
    expect([limits.length, heard.at(-1)]).toEqual([2, "looked 2: nothing"]);
  });

  test("asked for while one is under way are one more, afterwards", async () => {
    const { waiters, limits, look } = setUp(9);
    const gate = Promise.withResolvers<void>();
    look.gate = gate.promise;
    waiters.lookNow();
    for (let n = 0; n < 5; n++) waiters.lookNow();
    waiters.wanted();
    await vi.advanceTimersByTimeAsync(POLL_MS);
    expect(limits).toHaveLength(1);
    gate.resolve();
    await vi.advanceTimersByTimeAsync(1);
    expect(limits).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(POLL_MS - 2);
    expect(limits).toHaveLength(2);
  });

  test("nobody waits for are not made; the taker is told that it knows nothing any more", async () => {
    const { waiters, heard, limits } = setUp(0);
    waiters.lookNow();
    await turn();
    expect([heard, limits]).toEqual([["unsure"], []]);
  });

  test("are no more after the stop", async () => {
    const { waiters, limits } = setUp(9);
    waiters.wanted();
    waiters.stop();
    waiters.wanted();
    await vi.advanceTimersByTimeAsync(10 * POLL_MS);
    expect(limits).toEqual([]);
  });
});
