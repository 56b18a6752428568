import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { capacity, givenSessions, LIMITS, ref } from "./fake-streams.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const { pingMs, silenceMs, ackMs } = LIMITS;
const turn = () => vi.advanceTimersByTimeAsync(0);
/** What a leaving worker sent together with its last report still gets its answer. */
const linger = () => vi.advanceTimersByTimeAsync(50);

/** A stream that was heard last, and pinged never, at a time from which the test counts. */
function heardNow() {
  const given = givenSessions();
  const opened = given.open();
  given.sessions.heard(opened.session, 0);
  const since = opened.session.heardAt;
  opened.session.pingedAt = since;
  return { ...given, ...opened, since, at: (ms: number) => given.sessions.tick(since + ms) };
}

describe("a worker from which nothing comes", () => {
  test("is pinged after a while, and again only after that while", () => {
    const { outlet, at } = heardNow();
    at(pingMs - 1);
    expect(outlet.said).toEqual([]);
    at(pingMs);
    at(pingMs + 1_000);
    at(2 * pingMs - 1);
    expect(outlet.said).toEqual(["ping"]);
    at(2 * pingMs);
    expect(outlet.said).toEqual(["ping", "ping"]);
  });

  test("is taken for gone after the silence time, pinged or not", () => {
    const { outlet, sessions, at } = heardNow();
    at(silenceMs - 1);
    expect(sessions.count).toBe(1);
    at(silenceMs);
    expect(sessions.count).toBe(0);
    expect(outlet.said).toEqual(["ping", "end: WORKER_SILENT"]);
  });

  test("and which then says anything is there again", async () => {
    const { session, sessions, outlet, at, since } = heardNow();
    await vi.advanceTimersByTimeAsync(silenceMs - 1);
    sessions.heard(session, 0);
    expect(session.heardAt - since).toBe(silenceMs - 1);
    at(silenceMs + pingMs);
    expect([sessions.count, outlet.said]).toEqual([1, ["ping"]]);
  });
});

describe("a worker that does not ack its jobs", () => {
  test("is ended after the time for acks, however much else it says, and its jobs go back", async () => {
    const { session, sessions, outlet, lease, at, released } = heardNow();
    sessions.deliver([lease("x")]);
    await vi.advanceTimersByTimeAsync(ackMs);
    sessions.heard(session, 0);
    at(ackMs - 1);
    expect(sessions.count).toBe(1);
    at(ackMs);
    await turn();
    expect(outlet.said).toEqual(["jobs 1: x", "end: SLOW_READER"]);
    expect(released).toEqual(["x"]);
  });

  test("has the whole time for each frame", async () => {
    const { session, sessions, lease, at } = heardNow();
    sessions.deliver([lease("x")]);
    await vi.advanceTimersByTimeAsync(ackMs - 1);
    sessions.deliver([lease("y")]);
    sessions.heard(session, 1);
    at(ackMs);
    at(2 * ackMs - 2);
    expect(sessions.count).toBe(1);
    sessions.heard(session, 2);
    await vi.advanceTimersByTimeAsync(ackMs);
    sessions.heard(session, 2);
    at(2 * ackMs);
    expect(sessions.count).toBe(1);
  });

  test("but reports them is not ended for it", async () => {
    const { session, sessions, lease, at } = heardNow();
    sessions.deliver([lease("x")]);
    sessions.settled(ref("x"));
    await vi.advanceTimersByTimeAsync(ackMs);
    sessions.heard(session, 0);
    at(ackMs);
    expect(sessions.count).toBe(1);
  });
});

describe("a worker that leaves", () => {
  test("gets no more jobs, and its stream ends after the report of its last one", async () => {
    const { session, sessions, outlet, lease, released } = heardNow();
    sessions.deliver([lease("x"), lease("y")]);
    sessions.leave(session);
    expect(session.free).toBe(0);
    sessions.settled(ref("x"));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(session.ended).toBeUndefined();
    sessions.settled(ref("y"));
    await turn();
    expect(session.ended).toBeUndefined();
    await linger();
    expect(outlet.said).toEqual(["jobs 1: x y", "end: OK"]);
    expect(released).toEqual([]);
  });

  test("has its last answer before the end, however long that takes", async () => {
    const { session, sessions, outlet, lease } = heardNow();
    sessions.deliver([lease("x")]);
    sessions.leave(session);
    const report = Promise.withResolvers<void>();
    outlet.answers = report.promise;
    sessions.settled(ref("x"));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(session.ended).toBeUndefined();
    outlet.said.push("report ack");
    report.resolve();
    await turn();
    expect(outlet.said).toEqual(["jobs 1: x", "report ack", "end: OK"]);
  });

  test("with nothing to do is let go in a moment; so is one whose last lease is taken away, or goes to another stream", async () => {
    const { session, sessions, outlet } = heardNow();
    sessions.leave(session);
    await linger();
    expect(outlet.said).toEqual(["end: OK"]);
    const other = givenSessions();
    const { session: busy, outlet: heard } = other.open({ held: ["x"] });
    other.sessions.leave(busy);
    other.sessions.lost("t-x");
    await linger();
    expect(heard.said).toEqual(["cancel x: LOST", "end: OK"]);
    const third = other.open({ held: ["y"] });
    other.sessions.leave(third.session);
    other.open({ held: ["y"] });
    await linger();
    expect(third.outlet.said).toEqual(["end: OK"]);
  });
});

describe("a broker that leaves", () => {
  test("tells each worker, ends who is idle in a moment and who works after its last report", async () => {
    const { sessions, open } = givenSessions();
    const idle = open();
    const busy = open({ takes: capacity(5) });
    sessions.deliver([busy.lease("x")]);
    let drained = false;
    const drain = sessions.drain(8_000).then(() => {
      drained = true;
    });
    expect([sessions.draining, sessions.wanting]).toEqual([true, 0]);
    await linger();
    expect([idle.outlet.said, drained]).toEqual([["drain within 8000", "end: OK"], false]);
    await vi.advanceTimersByTimeAsync(5_000);
    sessions.settled(ref("x"));
    await linger();
    await drain;
    expect(busy.outlet.said).toEqual(["jobs 1: x", "drain within 8000", "end: OK"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("ends the rest at its deadline: unacked jobs go back first, acked ones stay leased", async () => {
    const gate = Promise.withResolvers<void>();
    const { sessions, open, released, lines } = givenSessions({ giveBack: () => gate.promise });
    const { session, lease } = open();
    sessions.deliver([lease("acked")]);
    sessions.heard(session, 1);
    sessions.deliver([lease("unacked")]);
    let drained = false;
    void sessions.drain(8_000).then(() => {
      drained = true;
    });
    await vi.advanceTimersByTimeAsync(7_999);
    expect(sessions.count).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect([sessions.count, drained]).toEqual([0, false]);
    gate.resolve();
    await turn();
    expect([released, drained]).toEqual([["unacked"], true]);
    expect(lines.at(-1)).toMatchObject({ held: 1, returned: 1 });
  });

  test("without streams is done at once", async () => {
    const { sessions } = givenSessions();
    await sessions.drain(8_000);
    expect(sessions.draining).toBe(true);
  });

  test("waits for streams that were ending already", async () => {
    const gate = Promise.withResolvers<void>();
    const { sessions, open, released } = givenSessions({ giveBack: () => gate.promise });
    const { session, lease } = open();
    sessions.deliver([lease("x")]);
    void sessions.end(session, null);
    let drained = false;
    void sessions.drain(8_000).then(() => {
      drained = true;
    });
    await turn();
    expect(drained).toBe(false);
    gate.resolve();
    await turn();
    expect([released, drained]).toEqual([["x"], true]);
  });

  test("spreads those that come back: the more there are, the wider, and 10 s at most", async () => {
    const delays = async (count: number) => {
      const { sessions, open } = givenSessions();
      const outlets = Array.from({ length: count }, () => open().outlet);
      void sessions.drain(8_000);
      await turn();
      return outlets.flatMap((outlet) => outlet.delays).toSorted((a, b) => a - b);
    };
    const few = await delays(3);
    expect(few.at(-1)).toBeLessThanOrEqual(106);
    const many = await delays(1_000);
    expect(many[0]).toBeLessThan(500);
    expect(many.at(-1)).toBeGreaterThan(1_500);
    expect(many.at(-1)).toBeLessThanOrEqual(2_100);
    const most = await delays(6_000);
    expect(most.at(-1)).toBeGreaterThan(9_000);
    expect(most.at(-1)).toBeLessThanOrEqual(10_000);
  });
});
