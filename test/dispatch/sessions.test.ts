import { describe, expect, test } from "vitest";
import { capacity, givenSessions, ref, seatLease } from "./fake-streams.ts";

const ids = (leases: { jobId: string }[]) => leases.map(({ jobId }) => jobId);
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("jobs that were claimed", () => {
  test("go to their streams, one frame each, in the order of the claim", () => {
    const { sessions, open } = givenSessions();
    const one = open();
    const two = open();
    expect(sessions.deliver([one.lease("x"), two.lease("y"), one.lease("z")])).toEqual([]);
    expect(one.outlet.said).toEqual(["jobs 1: x z"]);
    expect(two.outlet.said).toEqual(["jobs 1: y"]);
  });

  test("are answered back when their stream is not there: gone, never known, or replaced by a newer one", async () => {
    const { sessions, open } = givenSessions();
    const gone = open({ instanceId: "1" });
    await sessions.end(gone.session, null);
    const here = open({ instanceId: "2" });
    const orphans = [gone.lease("x"), seatLease("y", { instanceId: "3" }), here.lease("z", { sessionId: "older" })];
    expect(ids(sessions.deliver([...orphans, here.lease("good")]))).toEqual(["x", "y", "z"]);
    expect(here.outlet.said).toEqual(["jobs 1: good"]);
  });

  test("are not sent to a worker that has said in the meantime that it wants no more", () => {
    const { sessions, open } = givenSessions();
    const { session, outlet, lease } = open({ held: ["busy"] });
    sessions.leave(session);
    expect(ids(sessions.deliver([lease("x")]))).toEqual(["x"]);
    expect(outlet.said).toEqual([]);
    expect(ids(session.leases())).toEqual(["busy"]);
  });
});

describe("a lease that ends", () => {
  test("by a report frees its seat, and a second report of it is not this broker's business", () => {
    const { sessions, open, calls } = givenSessions();
    const { session, outlet, lease } = open({ takes: capacity(1) });
    sessions.deliver([lease("x")]);
    expect(session.free).toBe(0);
    expect(sessions.settled(ref("x"))).toBe(true);
    expect([session.free, calls.seats]).toEqual([1, 1]);
    expect(sessions.settled(ref("x"))).toBe(false);
    expect(sessions.settled(ref("unknown"))).toBe(false);
    expect(outlet.said).toEqual(["jobs 1: x"]);
  });

  test("by being taken away is told to its worker at once and frees its seat", () => {
    const { sessions, open, calls } = givenSessions();
    const { session, outlet } = open({ held: ["x"] });
    expect(sessions.lost("t-x")).toBe(true);
    expect(sessions.lost("t-x")).toBe(false);
    expect(outlet.said).toEqual(["cancel x: LOST"]);
    expect([session.load, calls.seats]).toEqual([0, 1]);
  });

  test("by a cancel is told once, however often it is asked for, and keeps its seat", () => {
    const { sessions, open } = givenSessions();
    const { session, outlet } = open({ held: ["x"] });
    expect([sessions.cancelled("t-x"), sessions.cancelled("t-x"), sessions.cancelled("t-y")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(outlet.said).toEqual(["cancel x: CANCELLED"]);
    expect(session.load).toBe(1);
  });

  test("is found no more once its stream has ended", async () => {
    const { sessions, open } = givenSessions();
    const { session, outlet } = open({ held: ["x"] });
    await sessions.end(session, null);
    expect([sessions.settled(ref("x")), sessions.lost("t-x"), sessions.cancelled("t-x")]).toEqual([
      false,
      false,
      false,
    ]);
    expect(outlet.said).toEqual(["end: OK"]);
  });
});

describe("a lease that a worker brings to another instance's stream", () => {
  test("leaves the older stream's seat", () => {
    const { sessions, open } = givenSessions();
    const older = open({ takes: capacity(2) });
    sessions.deliver([older.lease("x")]);
    const newer = open({ held: ["x"] });
    expect([older.session.load, older.session.free, newer.session.load]).toEqual([0, 2, 1]);
  });

  test("stays with the newer one when the older one ends, and is not given back", async () => {
    const { sessions, open, released } = givenSessions();
    const older = open();
    sessions.deliver([older.lease("x"), older.lease("y")]);
    const newer = open({ held: ["x"] });
    await sessions.end(older.session, null);
    expect(released).toEqual(["y"]);
    expect(sessions.cancelled("t-x")).toBe(true);
    expect(sessions.settled(ref("x"))).toBe(true);
    expect(newer.outlet.said).toEqual(["cancel x: CANCELLED"]);
    expect(newer.session.load).toBe(0);
  });
});

describe("the end of a stream", () => {
  test("gives back what was never acked and keeps the rest leased", async () => {
    const { sessions, open, released, ended, lines } = givenSessions();
    const { session, outlet, lease } = open({ instanceId: "1", held: ["old"] });
    sessions.deliver([lease("acked")]);
    sessions.heard(session, 1);
    sessions.deliver([lease("x"), lease("y")]);
    sessions.settled(ref("y"));
    await sessions.end(session, null);
    expect(released).toEqual(["x"]);
    expect(ended).toEqual(["s1"]);
    expect(outlet.said.at(-1)).toBe("end: OK");
    expect(lines.at(-1)).toMatchObject({ msg: expect.stringMatching(/ended: OK$/), held: 2, returned: 1 });
  });

  test("happens once: a second call gives nothing back again and waits for the first", async () => {
    const gate = Promise.withResolvers<void>();
    const { sessions, open, released, ended } = givenSessions({ giveBack: () => gate.promise });
    const { session, outlet, lease } = open();
    sessions.deliver([lease("x")]);
    const order: string[] = [];
    void sessions.end(session, null).then(() => order.push("first"));
    void sessions.end(session, null).then(() => order.push("second"));
    await turn();
    expect(order).toEqual([]);
    gate.resolve();
    await turn();
    expect(order.toSorted()).toEqual(["first", "second"]);
    expect([released, ended.length, outlet.said.filter((one) => one.startsWith("end"))]).toEqual([
      ["x"],
      1,
      ["end: OK"],
    ]);
  });

  test("frees its place at once, before anything is back", () => {
    const { sessions, open } = givenSessions({ giveBack: () => new Promise(() => undefined) });
    const { session, lease } = open({ takes: capacity(3) });
    sessions.deliver([lease("x")]);
    expect([sessions.count, sessions.wanting]).toEqual([1, 2]);
    void sessions.end(session, null);
    expect([sessions.count, sessions.wanting, sessions.get(session.facts.instanceId)]).toEqual([0, 0, undefined]);
    expect(ids(sessions.deliver([lease("y")]))).toEqual(["y"]);
  });

  test("of an older stream does not take the newer one of its instance away", async () => {
    const { sessions, open } = givenSessions();
    const older = open({ instanceId: "1" });
    void sessions.end(older.session, null);
    const newer = open({ instanceId: "1", epoch: 2 });
    await sessions.end(older.session, null);
    expect(sessions.get("1")).toBe(newer.session);
    const newest = open({ instanceId: "1", epoch: 3 });
    await sessions.end(newer.session, null);
    expect(sessions.get("1")).toBe(newest.session);
  });

  test("is waited for until all that ends of the instance has ended, also by another broker's newer stream", async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const left = gates.map(({ promise }) => promise);
    const { sessions, open } = givenSessions({ giveBack: () => left.shift() as Promise<void> });
    const order: string[] = [];
    for (const id of ["x", "y"]) {
      const { session, lease } = open({ instanceId: "1" });
      sessions.deliver([lease(id)]);
      void sessions.end(session, null);
    }
    void sessions.ending("1").then(() => order.push("ending"));
    void sessions.superseded({ instanceId: "1", epoch: 9, times: 1 }).then(() => order.push("superseded"));
    gates[0]?.resolve();
    await turn();
    void sessions.ending("1").then(() => order.push("asked later"));
    await turn();
    expect(order).toEqual([]);
    gates[1]?.resolve();
    await turn();
    expect(order.toSorted()).toEqual(["asked later", "ending", "superseded"]);
  });

  test("comes when another broker has a newer stream, and not when the news is old", async () => {
    const { sessions, open } = givenSessions();
    const { session, outlet } = open({ instanceId: "1", epoch: 5 });
    await sessions.superseded({ instanceId: "1", epoch: 5, times: 1 });
    await sessions.superseded({ instanceId: "1", epoch: 4, times: 1 });
    await sessions.superseded({ instanceId: "unknown", epoch: 9, times: 1 });
    expect(session.ended).toBeUndefined();
    await sessions.superseded({ instanceId: "1", epoch: 6, times: 1 });
    expect(outlet.said).toEqual(["end: SESSION_SUPERSEDED"]);
    expect(outlet.fault?.retryAfterMs).toBeGreaterThanOrEqual(1_000);
  });

  test("that cannot be written down, since the database is away, is an end all the same", async () => {
    const { sessions, open } = givenSessions({ write: () => Promise.reject(new Error("away")) });
    const { session } = open();
    await expect(sessions.end(session, null)).resolves.toBeUndefined();
    expect(sessions.count).toBe(0);
  });
});

describe("a new capacity", () => {
  test("counts at once, whether it can be written down for operators or not", async () => {
    for (const write of [async () => undefined, () => Promise.reject(new Error("away"))]) {
      const { sessions, open, calls } = givenSessions({ write });
      const { session } = open({ takes: capacity(1) });
      sessions.resize(session, capacity(7));
      expect([session.free, sessions.wanting, calls.seats]).toEqual([7, 7, 1]);
      await turn();
    }
    const { sessions, open, resized } = givenSessions();
    sessions.resize(open({ instanceId: "1" }).session, capacity(7));
    await turn();
    expect(resized).toEqual(["s1: 7"]);
  });
});

describe("who has room", () => {
  test("is known at any time, by stream and in all", async () => {
    const { sessions, open } = givenSessions();
    const one = open({ takes: capacity(2), held: ["old"] });
    const two = open({ takes: capacity(3) });
    const room = () => [sessions.wanting, ...sessions.withRoom().map((s) => (s === one.session ? "one" : "two"))];
    expect(room()).toEqual([4, "one", "two"]);
    sessions.deliver([one.lease("x")]);
    expect(room()).toEqual([3, "two"]);
    sessions.settled(ref("old"));
    expect(room()).toEqual([4, "two", "one"]);
    sessions.leave(two.session);
    expect(room()).toEqual([1, "one"]);
    await sessions.end(one.session, null);
    expect(room()).toEqual([0]);
  });

  test("comes in turns: who was served just now is the last", () => {
    const { sessions, open } = givenSessions();
    const all = [open(), open(), open()];
    sessions.deliver([all[0]!.lease("x")]);
    sessions.deliver([all[1]!.lease("y")]);
    expect(sessions.withRoom().map((s) => all.findIndex(({ session }) => session === s))).toEqual([2, 0, 1]);
  });

  test("is told of when a stream's window opens or a seat is freed, and not at each message", () => {
    const { sessions, open, calls } = givenSessions();
    const { session, lease } = open({ windowBytes: 5_000 });
    sessions.deliver([lease("x"), lease("y"), lease("z")]);
    expect(sessions.wanting).toBe(0);
    sessions.heard(session, 0);
    expect(calls.seats).toBe(0);
    sessions.heard(session, 1);
    expect([calls.seats, sessions.wanting]).toEqual([1, 7]);
    sessions.heard(session, 1);
    expect(calls.seats).toBe(1);
  });
});
