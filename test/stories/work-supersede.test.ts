/** One instance, one stream: a newer Hello ends the older stream, on any broker, and nothing more is pushed to it. */
import { Code } from "@connectrpc/connect";
import { expect } from "vitest";
import { openSessions } from "../../src/store/sessions.ts";
import { startTestBroker, type TestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import {
  afterLooks,
  dispatchAll,
  hearAll,
  idsOf,
  openWitness,
  openWorker,
  receivedJobs,
  type Streaming,
  takeJobs,
} from "../support/work-words.ts";

const SUPERSEDED = {
  code: Code.Aborted,
  reason: "SESSION_SUPERSEDED",
  domain: "aibroker",
  retryMs: expect.any(Number),
};

test.for(["same", "other"] as const)(
  "a newer stream on the %s broker ends the older one, and the jobs come to it",
  async (where, { db, url }) => {
    await using first = await startTestBroker(url);
    await using other = await startTestBroker(url);
    const second = where === "same" ? first : other;
    await using older = await openWorker(first, { maxInFlight: 2 });
    await using newer = await openWorker(second, { instanceId: older.instanceId, maxInFlight: 2 });
    expect(await older.ended).toMatchObject(SUPERSEDED);
    await dispatchAll(first, ["a", "b", "c"]);
    expect(idsOf(await takeJobs(newer, 2))).toEqual(["a", "b"]);
    await using witness = await openWitness(first);
    await afterLooks(db, witness);
    expect(receivedJobs(older)).toEqual([]);
    await hearAll(newer);
  },
);

test("the older stream's end does not end the newer session", async ({ db: _, url }) => {
  await using first = await startTestBroker(url);
  await using second = await startTestBroker(url);
  await using older = await openWorker(first);
  await using newer = await openWorker(second, { instanceId: older.instanceId });
  await older.ended;
  const { workers } = await first.admin.listWorkers({});
  expect(workers.flatMap(({ streams }) => streams)).toMatchObject([{ sessionId: newer.welcome.sessionId }]);
  await dispatchAll(first, ["a"]);
  await takeJobs(newer, 1);
});

test.for(["one broker", "two brokers"] as const)(
  "two live processes with one instance id, on %s: each loser is told to wait longer",
  async (where, { db: _, url }) => {
    await using first = await startTestBroker(url);
    await using other = await startTestBroker(url);
    const brokers = where === "one broker" ? [first, first] : [first, other];
    const waits: number[] = [];
    await using streams = new AsyncDisposableStack();
    let holder = streams.use(await openWorker(first, { instanceId: "twin" }));
    for (let turn = 1; turn <= 5; turn++) {
      const loser: Streaming = holder;
      holder = streams.use(await openWorker(brokers[turn % 2] as TestBroker, { instanceId: "twin" }));
      const end = await loser.ended;
      expect(end).toMatchObject(SUPERSEDED);
      waits.push("retryMs" in end ? (end.retryMs ?? 0) : 0);
    }
    expect(waits[0]).toBeLessThanOrEqual(5_000);
    for (let turn = 1; turn < waits.length; turn++) expect(waits[turn]).toBeGreaterThan(waits[turn - 1] as number);
  },
);

test("a worker that reconnects after its stream has ended is told of no supersede and waits for nothing", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  for (let turn = 0; turn < 4; turn++) {
    await using work = await openWorker(broker, { instanceId: "copy-1" });
    work.send({ drain: {} });
    expect(await work.ended).toEqual({ code: 0 });
  }
  const [row] = await db.sql`SELECT supersedes, epoch::int FROM ai_session`;
  expect(row).toEqual({ supersedes: 0, epoch: 4 });
});

test("nothing is pushed to a stream that is no longer the current one, even when no message says so; at last it is ended", {
  timeout: 40_000,
}, async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using witness = await openWitness(broker);
  await using older = await openWorker(broker, { maxInFlight: 5 });
  // As another broker's Hello writes it; its message is lost.
  const opening = { sessionId: "newer", workerId: "raw-1", types: ["ocr"], maxInFlight: 5, client: "" };
  await openSessions(db.reserved, "far-away", [{ ...opening, instanceId: older.instanceId }]);
  await dispatchAll(broker, ["a", "b"]);
  await afterLooks(db, witness);
  // The jobs are not stuck behind its seats, though it is the least loaded.
  await using heir = await openWorker(broker, { workerId: "heir", maxInFlight: 2 });
  expect(idsOf(await takeJobs(heir, 2)).sort()).toEqual(["a", "b"]);
  // The broker looks by itself.
  expect(await older.ended).toMatchObject(SUPERSEDED);
  expect(receivedJobs(older)).toEqual([]);
});

test("a superseded worker's frames that are still under way do no harm to the newer stream", async ({ db, url }) => {
  await using first = await startTestBroker(url);
  await using second = await startTestBroker(url);
  await using older = await openWorker(first, { maxInFlight: 1 });
  await dispatchAll(first, ["a", "b"]);
  const held = await takeJobs(older, 1);
  const lease = { jobId: "a", leaseToken: held[0]?.leaseToken ?? "" };
  await using newer = await openWorker(second, { instanceId: older.instanceId, maxInFlight: 1, held: [lease] });
  // Whether or not its broker has heard of the newer stream by now.
  older.send({ capacity: { maxInFlight: 100 } });
  older.send({ heartbeat: { id: 1n, leases: [lease] } });
  older.send({ drain: {} });
  await older.ended;
  await using witness = await openWitness(second);
  await afterLooks(db, witness);
  await hearAll(newer);
  // One seat, and it is taken: whichever broker counts.
  expect([...receivedJobs(older), ...receivedJobs(newer)]).toEqual(["a"]);
  await newer.report(held);
  expect(idsOf(await takeJobs(newer, 1))).toEqual(["b"]);
});
