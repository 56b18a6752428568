/** What happens while a claim is under way. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { givenDispatch, POLL_MS } from "./fake-dispatch.ts";
import { capacity } from "./fake-streams.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const turn = () => vi.advanceTimersByTimeAsync(0);

/** A claim that has taken its jobs and has not been answered yet. */
async function duringAClaim(...types: string[]) {
  const given = givenDispatch();
  const opened = given.open({ types: [...new Set(types)] });
  await turn();
  const gate = Promise.withResolvers<void>();
  given.store.after = gate.promise;
  given.dispatch(...types);
  await turn();
  expect(given.claims).toHaveLength(1);
  const answer = async () => {
    gate.resolve();
    given.store.after = undefined;
    await turn();
  };
  return { ...given, ...opened, answer };
}

describe("while a claim is under way", () => {
  test("what arrives is claimed by the next one", async () => {
    const { answer, dispatch, outlet, claims } = await duringAClaim("a");
    dispatch("a");
    await turn();
    expect(claims).toHaveLength(1);
    await answer();
    expect(outlet.said).toEqual(["jobs 1: 1", "jobs 2: 2"]);
  });

  test("a stream that ends gets nothing: its jobs go back unburnt", async () => {
    const { answer, sessions, session, outlet, released } = await duringAClaim("a");
    void sessions.end(session, null);
    await answer();
    expect([outlet.said, released]).toEqual([["end: OK"], ["1"]]);
  });

  test("a worker that says it wants no more gets nothing either", async () => {
    const { answer, sessions, session, outlet, released } = await duringAClaim("a");
    sessions.leave(session);
    await answer();
    expect([outlet.said, released]).toEqual([[], ["1"]]);
    await vi.advanceTimersByTimeAsync(50);
    expect(outlet.said).toEqual(["end: OK"]);
  });

  test("a stream that ends has ended only when what is claimed for it is back: the next one may look then", async () => {
    const { answer, sessions, session, released, ended } = await duringAClaim("a");
    let isOver = false;
    const over = sessions.end(session, null).then(() => {
      isOver = true;
    });
    await turn();
    expect([isOver, released, ended]).toEqual([false, [], []]);
    await answer();
    await over;
    expect([isOver, released, ended.length]).toEqual([true, ["1"], 1]);
  });

  test("the end of another stream does not wait for it", async () => {
    const { answer, sessions, open } = await duringAClaim("a");
    const other = open({ types: ["b"] });
    await sessions.end(other.session, null);
    expect(sessions.count).toBe(1);
    await answer();
  });

  test("jobs that cannot be given back at once are given back later, and the claims go on meanwhile", async () => {
    const { answer, sessions, session, store, open, dispatch, released } = await duringAClaim("a");
    void sessions.end(session, null);
    store.fails = true;
    await answer();
    expect(released).toEqual([]);
    store.fails = false;
    const { outlet } = open({ types: ["a"] });
    dispatch("a");
    await turn();
    expect(outlet.said).toEqual(["jobs 1: 2"]);
    await sessions.retryOwed();
    expect(released).toEqual(["1"]);
  });
});

describe("in a round of several claims", () => {
  /** Types side by side: one claim each. */
  async function threeClaims(more: { windowBytes?: number; payload?: string } = {}) {
    const given = givenDispatch();
    given.store.payload = more.payload ?? "{}";
    const takes = capacity(6, { a: 2, b: 2, c: 2 });
    const opened = given.open({
      types: ["a", "b", "c"],
      takes,
      ...(more.windowBytes ? { windowBytes: more.windowBytes } : {}),
    });
    await turn();
    const gate = Promise.withResolvers<void>();
    given.store.after = gate.promise;
    given.dispatch("a", "a", "b", "b", "c", "c");
    await turn();
    const answer = async () => {
      gate.resolve();
      given.store.after = undefined;
      await turn();
    };
    return { ...given, ...opened, answer };
  }

  test("all that it takes comes, each type in its limit", async () => {
    const { answer, session, claims } = await threeClaims();
    await answer();
    expect([session.load, claims.map(({ seats }) => seats.length)]).toEqual([6, [2, 2, 2]]);
  });

  test("a worker that takes less meanwhile gets no more in that round", async () => {
    const { answer, session, sessions, queue } = await threeClaims();
    sessions.resize(session, capacity(3, { a: 2, b: 2, c: 2 }));
    await answer();
    expect([session.load, queue.waiting.length]).toEqual([3, 3]);
  });

  test("a worker that takes no more of a type meanwhile gets none of it", async () => {
    const { answer, session, sessions, queue } = await threeClaims();
    sessions.resize(session, capacity(6, { a: 2, b: 0, c: 2 }));
    await answer();
    expect([session.load, queue.waiting.map(({ type }) => type)]).toEqual([4, ["b", "b"]]);
  });

  test("a worker that leaves meanwhile gets nothing that is claimed afterwards", async () => {
    const { answer, session, sessions, claims, outlet } = await threeClaims();
    sessions.leave(session);
    await answer();
    expect([claims.length, outlet.said]).toEqual([1, []]);
  });

  test("a worker whose window is full gets no more until it acks", async () => {
    const { answer, session, sessions, claims } = await threeClaims({ windowBytes: 9_000, payload: "x".repeat(5_000) });
    await answer();
    expect([session.load, claims.length]).toEqual([2, 1]);
    sessions.heard(session, 1);
    await turn();
    expect(session.load).toBe(4);
  });
});

test("a session that turns out to be dead is looked into once, before any further claim", async () => {
  const { open, dispatch, store, sessions, claims } = givenDispatch();
  const dead = open({ instanceId: "dead" });
  const alive = open({ held: ["x"] });
  await turn();
  store.dead.add("dead");
  const looked = Promise.withResolvers<void>();
  let told = 0;
  store.onDeadSeats = async () => {
    told++;
    await looked.promise;
    await sessions.end(dead.session, null);
  };
  dispatch("a");
  await turn();
  expect([told, claims.length]).toEqual([1, 1]);
  looked.resolve();
  await turn();
  expect([told, claims.length, alive.outlet.said]).toEqual([1, 2, ["jobs 1: 1"]]);
});

const type = fc.constantFrom("a", "b", "c");
const nth = fc.nat(5);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ dispatch: fc.array(type, { minLength: 1, maxLength: 4 }) }) },
  { weight: 2, arbitrary: fc.record({ writtenBySql: type }) },
  { weight: 1, arbitrary: fc.record({ otherBrokerTakes: type }) },
  { weight: 2, arbitrary: fc.record({ types: fc.subarray(["a", "b", "c"]), max: fc.nat(4), limit: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ report: nth }) },
  { weight: 1, arbitrary: fc.record({ resize: nth, to: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ end: nth }) },
  { weight: 1, arbitrary: fc.record({ leave: nth }) },
  { weight: 2, arbitrary: fc.record({ wait: fc.constantFrom(1, 20, 500, 1_000, 2_500) }) },
  { weight: 1, arbitrary: fc.record({ fails: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ bell: true }) },
);

test("whatever happens, one poll later no free seat waits beside a due job, nobody has too much, and all is quiet", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30, size: "max" }), async (steps) => {
      const given = givenDispatch();
      const { sessions, queue, store, claims } = given;
      const at = (n: number) => sessions.all()[n % Math.max(1, sessions.count)];
      const over = () => sessions.all().filter(({ load, maxInFlight, isLeaving }) => load > maxInFlight && !isLeaving);
      const allowed = new Set<unknown>();
      for (const one of steps) {
        if ("dispatch" in one) given.dispatch(...one.dispatch);
        if ("writtenBySql" in one) queue.add(one.writtenBySql);
        if ("otherBrokerTakes" in one) queue.claim([one.otherBrokerTakes], 1);
        if ("types" in one) given.open({ types: one.types, takes: capacity(one.max, { a: one.limit }) });
        const session = "report" in one ? at(one.report) : "resize" in one ? at(one.resize) : undefined;
        if ("report" in one && session !== undefined) given.report(session);
        if ("resize" in one && session !== undefined) {
          // It may have more already, or be about to get it.
          allowed.add(session);
          sessions.resize(session, capacity(one.to, { a: 1 }));
        }
        const leaver = "end" in one ? at(one.end) : "leave" in one ? at(one.leave) : undefined;
        if ("end" in one && leaver !== undefined) void sessions.end(leaver, null);
        if ("leave" in one && leaver !== undefined) sessions.leave(leaver);
        if ("wait" in one) await vi.advanceTimersByTimeAsync(one.wait);
        if ("fails" in one) store.fails = one.fails;
        if ("bell" in one) given.waiters.lookNow();
        expect(over().filter((session) => !allowed.has(session))).toEqual([]);
      }
      store.fails = false;
      await vi.advanceTimersByTimeAsync(POLL_MS + 250);
      const stuck = sessions.all().filter(({ free, types, freeByType }) =>
        queue.waiting.some((job) => {
          const takes = types.length === 0 || types.includes(job.type);
          return free > 0 && takes && (freeByType.get(job.type) ?? 1) > 0;
        }),
      );
      expect(stuck.map(({ types, free, load }) => ({ types, free, load }))).toEqual([]);
      const before = claims.length;
      await vi.advanceTimersByTimeAsync(5 * POLL_MS);
      expect(claims.length).toBe(before);
      given.waiters.stop();
      await given.dispatcher.stop();
    }),
    { numRuns: 300 },
  );
});
