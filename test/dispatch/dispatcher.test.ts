import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { givenDispatch, POLL_MS } from "./fake-dispatch.ts";
import { capacity } from "./fake-streams.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Everything that needs no time. */
const turn = () => vi.advanceTimersByTimeAsync(0);
const poll = () => vi.advanceTimersByTimeAsync(POLL_MS);

describe("jobs come to a free seat", () => {
  test("as soon as they are dispatched, those of one turn in one claim", async () => {
    const { open, dispatch, claims } = givenDispatch();
    const { outlet } = open();
    await turn();
    expect(claims).toEqual([]);
    dispatch("a", "a");
    dispatch("a");
    await turn();
    expect(outlet.said).toEqual(["jobs 1: 1 2 3"]);
    expect(claims.map(({ seats }) => seats.length)).toEqual([3]);
  });

  test("as soon as the stream opens, though they were there before anybody who takes them", async () => {
    const { open, dispatch, claims } = givenDispatch();
    open({ types: ["b"] });
    dispatch("a");
    await poll();
    expect(claims).toEqual([]);
    const { outlet } = open({ types: ["a"] });
    await turn();
    expect(outlet.said).toEqual(["jobs 1: 1"]);
  });

  test("as soon as it becomes free, without a look", async () => {
    const { open, dispatch, report, looks } = givenDispatch();
    const { session, outlet } = open({ takes: capacity(1) });
    dispatch("a", "a");
    await turn();
    expect(outlet.said).toEqual(["jobs 1: 1"]);
    const before = looks.count;
    report(session);
    await turn();
    expect(outlet.said).toEqual(["jobs 1: 1", "jobs 2: 2"]);
    expect(looks.count).toBe(before);
  });

  test("as soon as a worker takes more, or acks what filled its window", async () => {
    const { open, dispatch, sessions, store } = givenDispatch();
    const { session, outlet } = open({ takes: capacity(0) });
    dispatch("a");
    await turn();
    sessions.resize(session, capacity(1));
    await vi.advanceTimersByTimeAsync(20);
    expect(outlet.said).toEqual(["jobs 1: 1"]);
    const slow = open({ windowBytes: 2_000 });
    store.payload = "x".repeat(2_000);
    dispatch("a", "a", "a");
    await turn();
    const sent = slow.outlet.said.length;
    sessions.resize(slow.session, capacity(20));
    dispatch("a");
    await poll();
    expect(slow.outlet.said).toHaveLength(sent);
    sessions.heard(slow.session, 1);
    await turn();
    expect(slow.outlet.said).toHaveLength(sent + 1);
  });

  test("after one poll at most, when plain SQL wrote them", async () => {
    const { open, queue } = givenDispatch();
    const { outlet } = open();
    await turn();
    queue.add("a");
    await vi.advanceTimersByTimeAsync(POLL_MS - 1);
    expect(outlet.said).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(outlet.said).toEqual(["jobs 1: 1"]);
  });

  test("when plain SQL wrote them while all were busy, as soon as one seat is free again", async () => {
    const { open, queue, dispatch, report } = givenDispatch();
    const { session, outlet } = open({ takes: capacity(1) });
    await turn();
    dispatch("a");
    await turn();
    queue.add("a");
    await vi.advanceTimersByTimeAsync(10 * POLL_MS);
    expect(outlet.said).toEqual(["jobs 1: 1"]);
    report(session);
    await turn();
    expect(outlet.said).toEqual(["jobs 1: 1", "jobs 2: 2"]);
  });

  test("when another broker rang while all were busy, as soon as one seat is free again", async () => {
    const { open, queue, dispatch, report, waiters } = givenDispatch();
    const { session, outlet } = open({ takes: capacity(1) });
    await turn();
    dispatch("a");
    await turn();
    queue.add("a");
    waiters.lookNow();
    report(session);
    await turn();
    expect(outlet.said).toEqual(["jobs 1: 1", "jobs 2: 2"]);
  });

  test("until either is used up, in claims that grow while they come back full", async () => {
    const { open, queue, claims, waiters } = givenDispatch();
    queue.add(...Array<string>(1_000).fill("a"));
    const { session } = open({ takes: capacity(600) });
    await turn();
    expect(session.load).toBe(600);
    expect(claims.map(({ seats }) => seats.length)).toEqual([32, 128, 440]);
    const rest = open({ takes: capacity(900) });
    await turn();
    expect(rest.session.load).toBe(400);
    expect(queue.waiting).toEqual([]);
    waiters.stop();
  });
});

describe("which of the jobs", () => {
  test("a worker whose limit of one type is reached gets the others, though the queue must be looked at first", async () => {
    const { open, queue } = givenDispatch();
    queue.add("a", "a", "b");
    const { outlet, session } = open({ takes: capacity(5, { a: 1 }) });
    await turn();
    expect(outlet.said.join()).toContain("1");
    expect(session.leases().map(({ jobId }) => jobId)).toEqual(["1", "3"]);
    expect(queue.waiting.map(({ id }) => id)).toEqual([2]);
  });

  test("an older job that nobody told of is not passed by", async () => {
    const { open, queue, dispatch } = givenDispatch();
    const { outlet } = open({ types: ["a", "b"], takes: capacity(1) });
    await turn();
    // As Django writes it: no broker hears of it.
    queue.add("a");
    dispatch("b");
    await turn();
    expect(outlet.said).toEqual(["jobs 1: 1"]);
  });

  test("nor is it by a worker who takes any type", async () => {
    const { open, queue, dispatch } = givenDispatch();
    const { outlet } = open({ takes: capacity(1) });
    await turn();
    queue.add("a");
    dispatch("b");
    await turn();
    expect(outlet.said).toEqual(["jobs 1: 1"]);
  });

  test("jobs go to who has least to do", async () => {
    const { open, dispatch } = givenDispatch();
    const busy = open({ held: ["x", "y"] });
    const idle = open();
    dispatch("a", "a", "a");
    await turn();
    expect([busy.session.load, idle.session.load]).toEqual([3, 2]);
  });
});

describe("no claim is made", () => {
  test("by a hundred idle streams, however long: one look a poll serves them all", async () => {
    const { open, claims, looks } = givenDispatch();
    for (let n = 0; n < 100; n++)
      open({ types: n % 2 === 0 ? [] : ["a", "b"], takes: capacity(4, n % 3 === 0 ? { a: 1 } : {}) });
    await vi.advanceTimersByTimeAsync(60 * POLL_MS);
    expect(claims).toEqual([]);
    expect(looks.count).toBeGreaterThanOrEqual(60);
    expect(looks.count).toBeLessThanOrEqual(63);
  });

  test("beside the one that takes a job, when one arrives on an idle broker", async () => {
    const { open, dispatch, report, claims } = givenDispatch();
    const all = Array.from({ length: 100 }, () => open({ types: ["a", "b"] }));
    await turn();
    dispatch("a");
    await turn();
    expect(claims.map(({ types, seats }) => [types.includes("a"), seats.length])).toEqual([[true, 1]]);
    for (const { session } of all) report(session);
    await poll();
    expect(claims).toHaveLength(1);
  });

  test("while no seat is free, whatever arrives", async () => {
    const { open, dispatch, claims, sessions } = givenDispatch();
    const { session } = open({ takes: capacity(1) });
    dispatch("a");
    await turn();
    const before = claims.length;
    for (let n = 0; n < 100; n++) {
      dispatch("a");
      await turn();
    }
    sessions.heard(session, 1);
    await vi.advanceTimersByTimeAsync(10 * POLL_MS);
    expect(claims).toHaveLength(before);
  });

  test("for types that nobody here takes", async () => {
    const { open, dispatch, claims } = givenDispatch();
    open({ types: ["a"] });
    await turn();
    dispatch("b", "b");
    await vi.advanceTimersByTimeAsync(5 * POLL_MS);
    expect(claims).toEqual([]);
  });

  test("again and again for jobs that are counted but cannot be had", async () => {
    const { open, claims, waiters } = givenDispatch();
    open({ types: ["a"] });
    await turn();
    // Another broker took it, or its type is paused.
    waiters.arrived("a", 1);
    await poll();
    expect(claims).toHaveLength(1);
  });
});

describe("a claim that fails", () => {
  test("is told of and tried again after a pause, not at once, and not for each job that arrives", async () => {
    const { open, dispatch, claims, errors, store } = givenDispatch();
    const { outlet } = open();
    await turn();
    store.fails = true;
    dispatch("a");
    await turn();
    for (let n = 0; n < 10; n++) {
      dispatch("a");
      await vi.advanceTimersByTimeAsync(10);
    }
    expect([claims.length, errors.length]).toEqual([1, 1]);
    await vi.advanceTimersByTimeAsync(100);
    expect([claims.length, errors.length]).toEqual([2, 2]);
    store.fails = false;
    await vi.advanceTimersByTimeAsync(200);
    expect(outlet.said).toEqual(["jobs 1: 1 2 3 4 5 6 7 8 9 10"]);
  });

  test("does not go on after the stop", async () => {
    const { open, dispatch, claims, store, dispatcher, waiters } = givenDispatch();
    open();
    await turn();
    store.fails = true;
    dispatch("a");
    await turn();
    waiters.stop();
    await dispatcher.stop();
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(10 * POLL_MS);
    expect(claims).toHaveLength(1);
  });
});

test("a stop waits for the claim under way, whose jobs are still sent, and makes no more", async () => {
  const { open, dispatch, dispatcher, store, claims } = givenDispatch();
  const { outlet } = open();
  await turn();
  const gate = Promise.withResolvers<void>();
  store.after = gate.promise;
  dispatch("a");
  await turn();
  let stopped = false;
  void dispatcher.stop().then(() => {
    stopped = true;
  });
  dispatch("a");
  await turn();
  expect(stopped).toBe(false);
  gate.resolve();
  await turn();
  expect([stopped, outlet.said, claims.length]).toEqual([true, ["jobs 1: 1"], 1]);
});
