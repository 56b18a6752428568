/** Instances whose stream moves from one broker to another. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { givenHellos } from "./fake-hellos.ts";
import { ref } from "./fake-streams.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

afterEach(() => {
  vi.useRealTimers();
});

describe("a stream that another broker has replaced while it was opened", () => {
  test("is refused, its row is closed, and what it took back it took back in its own name only", async () => {
    const { hellos, open, hold, reclaimers, ended, sessions } = givenHellos();
    await open();
    const letGo = hold("heartbeat");
    const opening = open({ held: [ref("x")] });
    const refused = expect(opening).rejects.toMatchObject({ reason: "SESSION_SUPERSEDED" });
    await turn();
    void hellos.superseded({ instanceId: "i", epoch: 3, times: 1 });
    letGo();
    await refused;
    expect([sessions.get("i"), ended.length]).toEqual([undefined, 2]);
    expect(reclaimers).toEqual([ended.at(-1)]);
  });

  test("lets the other broker wait until it is over", async () => {
    const { hellos, open, hold, sessions } = givenHellos();
    const letGo = hold("heartbeat");
    const opening = open({ held: [ref("x")] });
    const refused = expect(opening).rejects.toMatchObject({ reason: "SESSION_SUPERSEDED" });
    await turn();
    let left = false;
    const leaving = hellos.superseded({ instanceId: "i", epoch: 2, times: 1 }).then(() => {
      left = true;
    });
    await turn();
    expect(left).toBe(false);
    letGo();
    await Promise.all([refused, leaving]);
    expect(sessions.count).toBe(0);
  });

  test("is not refused for news that is older than itself", async () => {
    const { hellos, open, hold } = givenHellos();
    const letGo = hold("open");
    const opening = open();
    await turn();
    void hellos.superseded({ instanceId: "i", epoch: 1, times: 1 });
    letGo();
    expect((await opening).session.facts.instanceId).toBe("i");
  });
});

describe("a stream that replaces another broker's", () => {
  test("is open at once, and gets jobs when that broker has let go and the rest is taken back", async () => {
    const { hellos, open, store, told, done, hold, sessions } = givenHellos();
    await open();
    await sessions.end(sessions.get("i") as NonNullable<ReturnType<typeof sessions.get>>, null);
    store.other = "there";
    const { session } = await open({ held: [ref("x")] });
    expect([told, session.free, sessions.wanting]).toEqual([["i 2"], 0, 0]);
    hellos.left("elsewhere", "i");
    hellos.left("there", "other instance");
    await turn();
    expect(done().at(-1)).toBe("heartbeat x");
    const letGo = hold("reclaim");
    hellos.left("there", "i");
    await turn();
    expect(session.free).toBe(0);
    letGo();
    await turn();
    expect(done().at(-1)).toBe("reclaim i but [x]");
    expect([session.free, sessions.wanting, told.at(-1)]).toEqual([4, 4, "seats"]);
  });

  test("is not held up by this broker's own older row", async () => {
    const { open, store, told } = givenHellos();
    await open();
    store.other = "here";
    const { session } = await open();
    expect([session.free, told]).toEqual([5, []]);
  });

  test("takes back nothing if it has ended in the meantime", async () => {
    const { hellos, open, store, sessions, done } = givenHellos();
    store.other = "there";
    const { session } = await open();
    await sessions.end(session, null);
    hellos.left("there", "i");
    await turn();
    expect(done().filter((call) => call.startsWith("reclaim"))).toEqual([]);
  });
});

describe("a broker that does not say that it has let go", () => {
  test("is waited for, but not for long", async () => {
    vi.useFakeTimers();
    const { open, store, done } = givenHellos();
    store.other = "there";
    const { session } = await open();
    await vi.advanceTimersByTimeAsync(1_900);
    expect([session.free, done().at(-1)]).toEqual([0, "open i"]);
    await vi.advanceTimersByTimeAsync(200);
    expect([session.free, done().at(-1)]).toEqual([5, "reclaim i but []"]);
  });

  test("is told once for each hello, and a late answer changes nothing", async () => {
    vi.useFakeTimers();
    const { hellos, open, store, told, done } = givenHellos();
    store.other = "there";
    const { session } = await open();
    await vi.advanceTimersByTimeAsync(3_000);
    hellos.left("there", "i");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(told.filter((one) => one !== "seats")).toEqual(["i 1"]);
    expect(done().filter((call) => call.startsWith("reclaim"))).toHaveLength(1);
    expect(session.free).toBe(5);
  });
});

test("while the older leases cannot be taken back the stream gets no jobs, and it is tried again until they are", async () => {
  vi.useFakeTimers();
  const { hellos, open, store, done } = givenHellos();
  store.other = "there";
  store.reclaimFails = true;
  const { session } = await open();
  hellos.left("there", "i");
  await vi.advanceTimersByTimeAsync(5_000);
  expect(session.free).toBe(0);
  store.reclaimFails = false;
  await vi.advanceTimersByTimeAsync(1_000);
  expect([session.free, done().at(-1)]).toEqual([5, "reclaim i but []"]);
});

test("a worker that leaves while its older stream is waited for gets no jobs afterwards", async () => {
  const { hellos, open, store, sessions } = givenHellos();
  store.other = "there";
  const { session } = await open({ held: [ref("x")] });
  sessions.leave(session);
  hellos.left("there", "i");
  await turn();
  expect([session.free, session.takesJobs]).toEqual([0, false]);
});
