import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EventTail } from "../../src/dispatch/event-tail.ts";
import type { EventPage, EventPlace } from "../../src/store/events.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const place = (xid: number): EventPlace => ({ xid: String(xid), id: "0" });

function setUp() {
  let now = 0;
  const reads: string[] = [];
  const errors: unknown[] = [];
  const failures: Error[] = [];
  const begins: PromiseWithResolvers<EventPlace>[] = [];
  const tail = new EventTail({
    read: async (after): Promise<EventPage> => {
      reads.push(after.xid);
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      return { events: [], upTo: place(++now), boundXid: String(now), toldXid: String(now), more: false };
    },
    now: () => {
      const begin = Promise.withResolvers<EventPlace>();
      begins.push(begin);
      return begin.promise;
    },
    pollMs: 250,
    onError: (err) => errors.push(err),
  });
  return { tail, reads, errors, failures, begins };
}

/** Joins, from the place 0. */
async function joined(tail: EventTail, begins: PromiseWithResolvers<EventPlace>[], told: string[] = []) {
  const joining = tail.join(({ upTo }) => told.push(upTo.xid));
  begins.at(-1)?.resolve(place(0));
  return joining;
}

test("while nobody watches nothing is read, and the last one's leaving ends the reads", async () => {
  const { tail, reads, begins } = setUp();
  tail.nudge();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(reads).toEqual([]);
  const { leave } = await joined(tail, begins);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(reads.length).toBeGreaterThan(2);
  leave();
  const count = reads.length;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(reads.length).toBe(count);
});

test("without a nudge it reads once a poll, after one soon and then less and less often", async () => {
  const { tail, reads, begins } = setUp();
  await joined(tail, begins);
  await vi.advanceTimersByTimeAsync(2_600);
  expect(reads.length).toBeLessThanOrEqual(12);
  const before = reads.length;
  tail.nudge();
  await vi.advanceTimersByTimeAsync(15);
  expect(reads.length).toBeGreaterThan(before);
  await vi.advanceTimersByTimeAsync(300);
  expect(reads.length - before).toBeGreaterThanOrEqual(4);
  expect(reads.length - before).toBeLessThanOrEqual(7);
  await tail.stop();
});

test("a thousand moves a second do not make a thousand reads", async () => {
  const { tail, reads, begins } = setUp();
  await joined(tail, begins);
  const before = reads.length;
  for (let ms = 0; ms < 1_000; ms++) {
    tail.nudge();
    await vi.advanceTimersByTimeAsync(1);
  }
  expect(reads.length - before).toBeLessThanOrEqual(110);
  await tail.stop();
});

test("two that join as it begins start from one place, and each is told every page behind its own", async () => {
  const { tail, begins } = setUp();
  const first: string[] = [];
  const second: string[] = [];
  const joins = [tail.join(({ upTo }) => first.push(upTo.xid)), tail.join(({ upTo }) => second.push(upTo.xid))];
  expect(begins).toHaveLength(1);
  begins[0]?.resolve(place(0));
  const [one, two] = await Promise.all(joins);
  expect([one?.from, two?.from]).toEqual([place(0), place(0)]);
  await vi.advanceTimersByTimeAsync(600);
  const third: string[] = [];
  const { from } = await tail.join(({ upTo }) => third.push(upTo.xid));
  expect(from.xid).toBe(first.at(-1));
  await vi.advanceTimersByTimeAsync(600);
  expect(first).toEqual(second);
  expect(third).toEqual(first.slice(-third.length));
  expect(Number(third[0])).toBe(Number(from.xid) + 1);
  await tail.stop();
});

test("a read that fails is told, and goes on from the same place", async () => {
  const { tail, reads, errors, failures, begins } = setUp();
  const told: string[] = [];
  await joined(tail, begins, told);
  await vi.advanceTimersByTimeAsync(300);
  const at = reads.length;
  failures.push(new Error("away"), new Error("away"));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(errors).toHaveLength(2);
  expect(reads.slice(at, at + 3)).toEqual([reads[at], reads[at], reads[at]]);
  expect(told).toEqual(told.toSorted((a, b) => Number(a) - Number(b)));
  await tail.stop();
});

test("a database that is away when somebody joins is told to that one alone, and the next one may join", async () => {
  const { tail, reads, begins } = setUp();
  const failed = tail.join(() => undefined);
  begins[0]?.reject(new Error("away"));
  await expect(failed).rejects.toThrow("away");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(reads).toEqual([]);
  await joined(tail, begins);
  await vi.advanceTimersByTimeAsync(300);
  expect(reads.length).toBeGreaterThan(0);
  await tail.stop();
});

test("whoever comes after all have left begins where things are then", async () => {
  const { tail, begins } = setUp();
  const { leave } = await joined(tail, begins);
  await vi.advanceTimersByTimeAsync(1_000);
  leave();
  await vi.advanceTimersByTimeAsync(1_000);
  const again = tail.join(() => undefined);
  expect(begins).toHaveLength(2);
  begins[1]?.resolve(place(900));
  expect((await again).from).toEqual(place(900));
  await tail.stop();
});
