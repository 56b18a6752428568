import { describe, expect, test } from "vitest";
import { CONTINUE, givenHellos, LOST } from "./fake-hellos.ts";
import { capacity, recordingOutlet, ref, seatLease } from "./fake-streams.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
describe("a first stream of an instance", () => {
  test("is open after one statement, with a seat for each job that it asked for", async () => {
    const { open, done, sessions } = givenHellos();
    const { session, held } = await open({ types: ["a"], client: "sdk" });
    expect(session.facts).toMatchObject({ workerId: "w", instanceId: "i", types: ["a"], client: "sdk" });
    expect([held, session.free, sessions.get("i") === session]).toEqual([[], 5, true]);
    expect(done()).toEqual(["open i"]);
  });

  test("gets a name from the broker if it has none, another one each time", async () => {
    const { open, sessions } = givenHellos();
    const one = await open({ instanceId: null });
    const two = await open({ instanceId: null });
    expect(one.session.facts.instanceId).not.toBe(two.session.facts.instanceId);
    expect(sessions.count).toBe(2);
  });
});

describe("leases that a worker brings along", () => {
  test("are renewed, answered in order, and counted, but for those that are lost", async () => {
    const { open, store, sessions } = givenHellos();
    store.verdicts = (jobId) => (jobId === "y" ? LOST(jobId) : { ...CONTINUE(jobId), type: jobId });
    const takes = capacity(5, { x: 1, y: 1 });
    const { session, held } = await open({ held: [ref("x"), ref("y"), ref("z")], capacity: takes });
    expect(held.map(({ jobId, verdict }) => `${jobId} ${verdict}`)).toEqual(["x CONTINUE", "y LOST", "z CONTINUE"]);
    expect(session.leases()).toEqual([ref("x"), ref("z")]);
    expect([session.free, ...session.freeByType.values()]).toEqual([3, 0, 1]);
    expect([sessions.cancelled("t-x"), sessions.cancelled("t-y")]).toEqual([true, false]);
  });

  test("whose job is to be cancelled are still counted: the worker has to stop first", async () => {
    const { open, store } = givenHellos();
    store.verdicts = (jobId) => ({ ...CONTINUE(jobId), verdict: "CANCEL" });
    const { session } = await open({ held: [ref("x")] });
    expect(session.leases()).toEqual([ref("x")]);
  });
});

describe("a stream that replaces one of this broker", () => {
  test("ends it, gives back what was never acked, and only then takes back what the worker does not hold", async () => {
    const { open, sessions, done } = givenHellos();
    const outlet = recordingOutlet();
    const older = await open({}, outlet);
    const lease = { sessionId: older.session.facts.sessionId, instanceId: "i", workerId: "w" };
    sessions.deliver([seatLease("acked", lease)]);
    sessions.heard(older.session, 1);
    sessions.deliver([seatLease("unacked", lease)]);
    const newer = await open({ held: [ref("acked")] });
    expect(outlet.said.at(-1)).toBe("end: SESSION_SUPERSEDED");
    expect(done()).toEqual(["open i", "open i", "heartbeat acked", "giveBack unacked", "reclaim i but [acked]"]);
    expect([sessions.get("i") === newer.session, newer.session.load]).toEqual([true, 1]);
  });

  test("tells the one that is pushed out to wait, the longer the more often it happened", async () => {
    const { open } = givenHellos();
    const waits: number[] = [];
    let outlet = recordingOutlet();
    await open({}, outlet);
    for (let n = 0; n < 3; n++) {
      const next = recordingOutlet();
      await open({}, next);
      waits.push(outlet.fault?.retryAfterMs ?? 0);
      outlet = next;
    }
    expect(waits[0]).toBeGreaterThanOrEqual(1_000);
    expect(waits).toEqual(waits.toSorted((a, b) => a - b));
    expect(new Set(waits).size).toBe(3);
  });

  test("waits for an end that is under way: the jobs go back unburnt before the rest is taken back", async () => {
    const { open, sessions, done, hold, calls } = givenHellos();
    const { session } = await open();
    const { workerId, sessionId } = session.facts;
    sessions.deliver([seatLease("x", { instanceId: "i", workerId, sessionId })]);
    const letGo = hold("giveBack");
    void sessions.end(session, null);
    const again = open();
    await turn();
    expect(calls.filter((call) => call.startsWith("reclaim"))).toEqual([]);
    letGo();
    await again;
    expect(done()).toEqual(["open i", "giveBack x", "open i", "reclaim i but []"]);
  });

  test("first gives back what could not be given back while the database was away", async () => {
    const { open, sessions, done, store } = givenHellos();
    const { session } = await open();
    const { workerId, sessionId } = session.facts;
    sessions.deliver([seatLease("x", { instanceId: "i", workerId, sessionId })]);
    store.giveBackFails = true;
    await sessions.end(session, null);
    store.giveBackFails = false;
    await open();
    expect(done().slice(-3)).toEqual(["open i", "giveBack x", "reclaim i but []"]);
  });
});

describe("hellos of one instance", () => {
  test("take turns, and each one ends the one before", async () => {
    const { open, hold, done, sessions } = givenHellos();
    const letGo = hold("open");
    const outlets = [recordingOutlet(), recordingOutlet(), recordingOutlet()];
    const opening = outlets.map((outlet) => open({}, outlet));
    const other = open({ instanceId: "other" });
    await turn();
    letGo();
    const all = await Promise.all([...opening, other]);
    expect(done().filter((call) => call.startsWith("open i"))).toHaveLength(3);
    expect(outlets.map(({ said }) => said)).toEqual([["end: SESSION_SUPERSEDED"], ["end: SESSION_SUPERSEDED"], []]);
    expect([sessions.count, sessions.get("i") === all[2]?.session]).toEqual([2, true]);
  });

  test("go on when the one before has failed", async () => {
    const { hellos, open, hold, sessions } = givenHellos();
    const letGo = hold("open");
    const first = open();
    const failing = expect(first).rejects.toMatchObject({ reason: "SESSION_SUPERSEDED" });
    const second = open();
    void hellos.superseded({ instanceId: "i", epoch: 2, times: 1 });
    letGo();
    await failing;
    await second;
    expect(sessions.count).toBe(1);
  });
});

describe("no more streams", () => {
  test("than the limit are opened; those under way count, and a hello that replaces one does not", async () => {
    const { open, hold } = givenHellos({ maxStreams: 2 });
    await open({ instanceId: "1" });
    const letGo = hold("open");
    const second = open({ instanceId: "2" });
    await expect(open({ instanceId: "3" })).rejects.toMatchObject({
      reason: "TOO_MANY_STREAMS",
      retryAfterMs: expect.any(Number),
    });
    const again = [open({ instanceId: "1" }), open({ instanceId: "2" })];
    letGo();
    await Promise.all([second, ...again]);
    await expect(open({ instanceId: null })).rejects.toMatchObject({ reason: "TOO_MANY_STREAMS" });
  });

  test("a worker that is just reconnecting counts once", async () => {
    const { open, hold, sessions } = givenHellos({ maxStreams: 3 });
    await open({ instanceId: "1" });
    await open({ instanceId: "2" });
    const letGo = hold("open");
    const again = open({ instanceId: "1" });
    const third = open({ instanceId: "3" });
    letGo();
    await Promise.all([again, third]);
    expect(sessions.count).toBe(3);
  });

  test("are opened once the broker leaves, nor is one that was under way", async () => {
    const { open, hold, sessions, ended } = givenHellos();
    const letGo = hold("open");
    const opening = open();
    const refused = expect(opening).rejects.toMatchObject({ reason: "SHUTTING_DOWN" });
    await sessions.drain(1_000);
    await expect(open({ instanceId: "late" })).rejects.toMatchObject({ reason: "SHUTTING_DOWN" });
    letGo();
    await refused;
    expect([sessions.count, ended.length]).toEqual([0, 1]);
  });
});

test("a hello that fails half-way closes its row, and the worker may try again", async () => {
  const { open, store, ended, sessions } = givenHellos();
  store.verdicts = () => {
    throw new Error("away");
  };
  await expect(open({ held: [ref("x")] })).rejects.toThrow("away");
  expect([ended.length, sessions.count]).toEqual([1, 0]);
  store.verdicts = CONTINUE;
  expect((await open({ held: [ref("x")] })).session.load).toBe(1);
});
