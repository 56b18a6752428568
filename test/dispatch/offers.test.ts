/** Seats that are kept free for jobs which are being dispatched, over the model queue. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { givenDispatch, POLL_MS } from "./fake-dispatch.ts";
import { capacity, type GivenSession } from "./fake-streams.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const turn = () => vi.advanceTimersByTimeAsync(0);

/** Streams whose broker has looked at its queue and found nothing. */
async function givenIdle(...streams: (GivenSession & { held?: string[] })[]) {
  const given = givenDispatch();
  const opened = streams.map((stream) => given.open(stream));
  await turn();
  return {
    ...given,
    opened,
    offer: (type: string, count = 1) => given.waiters.offer(type, Array<number>(count).fill(2)),
  };
}

const instances = (offer?: { seats: { instanceId: string }[] }) => offer?.seats.map(({ instanceId }) => instanceId);

describe("seats are offered", () => {
  test("to the least loaded, as many as there are jobs, with what they take", async () => {
    const { offer } = await givenIdle(
      { instanceId: "busy", types: ["a"], takes: capacity(2), held: ["x"] },
      { instanceId: "free", types: ["a"], takes: capacity(3) },
    );
    const seat = { instanceId: "free", sessionId: "sfree", workerId: "wfree" };
    expect(offer("a")).toMatchObject({ types: ["a"], seats: [seat] });
    // Each has one now: the one that was offered counts.
    expect(instances(offer("a", 9))).toEqual(["busy", "free", "free"]);
  });

  test("not where the type is not taken, nothing is free, or nobody is there", async () => {
    const { offer } = await givenIdle({ types: ["b"] }, { takes: capacity(0) });
    expect(offer("a")).toBeUndefined();
    expect(offer("b")).toBeDefined();
    expect((await givenIdle()).offer("a")).toBeUndefined();
  });

  test("not while a long poll waits for the type: it was there first", async () => {
    const { offer, waiters } = await givenIdle({ types: ["a", "b"] });
    void waiters.join(["a"]).woken(60_000, new AbortController().signal);
    expect(offer("a")).toBeUndefined();
    expect(offer("b")).toBeDefined();
  });

  test("not while a job is due that their worker could take, or may be", async () => {
    const { offer, dispatch, queue, open, dispatcher } = await givenIdle({ types: ["a", "b"], takes: capacity(0) });
    dispatch("b");
    open({ types: ["a", "c"] });
    await turn();
    expect(offer("a")).toBeDefined();
    const { session } = open({ types: ["a", "d"], takes: capacity(0) });
    dispatch("d");
    session.resize(capacity(5));
    expect(instances(offer("a"))).not.toContain(session.facts.instanceId);
    queue.add("zeta");
    dispatcher.unsure();
    expect(offer("a")).toBeUndefined();
  });

  test("not to a worker of any type but some: which lanes it takes from is not known without a look", async () => {
    const limited = { takes: capacity(5, { b: 1 }) };
    const { offer, opened, sessions } = await givenIdle(limited);
    const { session, lease } = opened[0] as (typeof opened)[0];
    expect(offer("a")).toBeDefined();
    sessions.deliver([lease("x", { type: "b" })]);
    expect([session.free, session.freeByType.get("b")]).toEqual([3, 0]);
    expect(offer("a")).toBeUndefined();
  });

  test("not beyond the bytes that may be under way to a worker", async () => {
    const { waiters, opened } = await givenIdle({ takes: capacity(9), windowBytes: 10_000 });
    const { session } = opened[0] as (typeof opened)[0];
    const first = waiters.offer("a", [8_000]);
    expect([instances(first)?.length, session.free]).toEqual([1, 0]);
    expect(waiters.offer("a", [1])).toBeUndefined();
    first?.close([]);
    expect(session.free).toBe(9);
  });

  test("not where a claim is under way, though a look finds nothing more: what it brings is not counted yet", async () => {
    const { offer, opened, dispatch, store, waiters } = await givenIdle({ takes: capacity(1) }, { types: ["b"] });
    const { session, outlet } = opened[0] as (typeof opened)[0];
    const answer = Promise.withResolvers<void>();
    store.after = answer.promise;
    dispatch("a");
    await turn();
    waiters.lookNow();
    await turn();
    expect(session.free).toBe(1);
    expect(offer("a")).toBeUndefined();
    expect(offer("b")).toBeDefined();
    answer.resolve();
    await turn();
    expect(outlet.said).toEqual(["jobs 1: 1"]);
  });

  test("not any more once the dispatcher has stopped", async () => {
    const { offer, dispatcher } = await givenIdle({});
    await dispatcher.stop();
    expect(offer("a")).toBeUndefined();
  });
});

describe("while an offer is open", () => {
  test("its seats are counted as taken, by type and in all, and are free again when it closes", async () => {
    const { offer, opened, sessions, claims, dispatch } = await givenIdle({ takes: capacity(2, { a: 1 }) });
    const open = offer("a", 5);
    const { session, outlet } = opened[0] as (typeof opened)[0];
    expect([instances(open)?.length, session.free, session.freeByType.get("a"), sessions.wanting]).toEqual([
      1, 1, 0, 1,
    ]);
    expect(offer("a")).toBeUndefined();
    dispatch("a");
    await vi.advanceTimersByTimeAsync(POLL_MS);
    expect([claims, outlet.said]).toEqual([[], []]);
    open?.close([]);
    await turn();
    expect(outlet.said).toEqual(["jobs 1: 1"]);
    expect([session.free, session.freeByType.get("a")]).toEqual([1, 0]);
  });

  test("the jobs that got a seat are sent in one frame when it closes", async () => {
    const { offer, opened, sessions } = await givenIdle({ takes: capacity(3) });
    const { outlet, lease, session } = opened[0] as (typeof opened)[0];
    const open = offer("a", 3);
    open?.close([lease("x"), lease("y")]);
    expect(outlet.said).toEqual(["jobs 1: x y"]);
    expect([session.load, session.free, sessions.wanting]).toEqual([2, 1, 1]);
    await turn();
  });

  test("a stream that ends waits for it, and what it brought goes back", async () => {
    const { offer, opened, sessions, ended, released } = await givenIdle({ instanceId: "i" });
    const { session, lease } = opened[0] as (typeof opened)[0];
    const open = offer("a");
    const end = sessions.end(session, null);
    await turn();
    expect(ended).toEqual([]);
    open?.close([lease("x")]);
    await end;
    expect([released, ended]).toEqual([["x"], ["si"]]);
  });

  test("a worker that leaves gets nothing more by it", async () => {
    const { offer, opened, sessions, released } = await givenIdle({});
    const { session, outlet, lease } = opened[0] as (typeof opened)[0];
    const open = offer("a");
    sessions.leave(session);
    open?.close([lease("x")]);
    await turn();
    expect([released, outlet.said]).toEqual([["x"], []]);
  });

  test("an answer that is lost frees the seat, and none is offered until the queue has been looked at", async () => {
    const { offer, opened, dispatcher } = await givenIdle({ takes: capacity(1) });
    const { session } = opened[0] as (typeof opened)[0];
    const first = offer("a");
    expect(first).toBeDefined();
    expect(session.free).toBe(0);
    first?.lost();
    expect(session.free).toBe(1);
    expect(offer("a")).toBeUndefined();
    dispatcher.looked(new Map(), dispatcher.looking());
    expect(offer("a")).toBeDefined();
  });

  test("stopping waits until it is closed", async () => {
    const { offer, dispatcher } = await givenIdle({});
    const open = offer("a");
    let stopped = false;
    const stopping = dispatcher.stop().then(() => {
      stopped = true;
    });
    await turn();
    expect(stopped).toBe(false);
    open?.close([]);
    await stopping;
  });
});
