/** Streams of two brokers on one database. */
import { expect, onTestFinished } from "vitest";
import { reclaimUnheld } from "../../src/store/reclaim.ts";
import { test } from "../support/db.ts";
import { expectNoDrift, expire, newJob, rowOf, statusOf } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { reportDone, type StreamBroker, startStreams } from "./stream-broker.ts";

async function two(url: string): Promise<{ here: StreamBroker; there: StreamBroker }> {
  const [here, there] = await Promise.all([startStreams(url), startStreams(url)]);
  onTestFinished(async () => {
    await Promise.all([here, there].map((broker) => broker[Symbol.asyncDispose]()));
  });
  return { here, there };
}

test("a job that is dispatched here reaches a stream there, long before its poll", async ({ db: _, url }) => {
  const { here, there } = await two(url);
  const worker = await there.connect();
  await here.moves.dispatch([newJob({ id: "x" })]);
  expect((await worker.got(1)).map(({ jobId }) => jobId)).toEqual(["x"]);
});

test("what happens here to a lease of a stream there is told to its worker, or frees its seat", async ({ db, url }) => {
  const { here, there } = await two(url);
  const worker = await there.connect({ instanceId: "i" });
  await there.moves.dispatch(["cancelled", "reported", "released", "expired"].map((id) => newJob({ id })));
  const leases = await worker.got(4);
  const lease = (id: string) => leases.filter(({ jobId }) => jobId === id);
  await here.moves.cancel(["cancelled"], "enough");
  await until("the cancel has come", () => worker.cancels.length === 1);
  expect(worker.cancels).toEqual(["cancelled CANCELLED"]);
  await reportDone(here, lease("reported"));
  await until("its seat is free", () => worker.session.load === 3);
  expect(await statusOf(db, "reported")).toBe("DONE");
  await expire(db, "expired");
  await here.moves.reclaim();
  await until("the loss has come", () => worker.cancels.includes("expired LOST"));
  // It comes again, to whoever has a seat: to the same worker, as another lease.
  await worker.got(5);
  expect(worker.ids().filter((id) => id === "expired")).toHaveLength(2);
});

test("a worker that moves here ends its stream there, and what it holds goes on", async ({ db, url }) => {
  const { here, there } = await two(url);
  const first = await there.connect({ instanceId: "i", max: 1 });
  await there.moves.dispatch([newJob({ id: "x" }), newJob({ id: "y" })]);
  const held = await first.got(1);
  const second = await here.connect({ instanceId: "i", max: 1, held });
  expect(second.held).toMatchObject([{ jobId: "x", verdict: "CONTINUE" }]);
  await until("the older stream has ended", () => first.ended !== undefined);
  expect(first.ended).toMatchObject({ reason: "SESSION_SUPERSEDED" });
  await until("it takes jobs", () => second.session.takesJobs);
  expect([second.jobs, await statusOf(db, "y")]).toEqual([[], "PENDING"]);
  expect(await reportDone(here, held)).toEqual(["ACCEPTED"]);
  expect((await second.got(1)).map(({ jobId }) => jobId)).toEqual(["y"]);
});

test("jobs that never reached the stream there come here with no attempt spent, even on their last one", async ({
  db,
  url,
}) => {
  const { here, there } = await two(url);
  const silent = await there.connect({ instanceId: "i", acks: false });
  await there.moves.dispatch([newJob({ id: "x", maxAttempts: 1 }), newJob({ id: "y", maxAttempts: 1 })]);
  await silent.got(2);
  const second = await here.connect({ instanceId: "i" });
  expect((await second.got(2)).map(({ jobId, attempt }) => [jobId, attempt])).toEqual([
    ["x", 1],
    ["y", 1],
  ]);
  expect(await reportDone(here, second.jobs)).toEqual(["ACCEPTED", "ACCEPTED"]);
  await expectNoDrift(db);
});

test("a job of an unacked frame that its worker names here is not taken away again", async ({ db, url }) => {
  const { here, there } = await two(url);
  const first = await there.connect({ instanceId: "i", acks: false });
  await there.moves.dispatch([newJob({ id: "x" })]);
  const held = await first.got(1);
  const second = await here.connect({ instanceId: "i", held });
  await until("the older stream has ended", () => first.ended !== undefined);
  await until("it takes jobs", () => second.session.takesJobs);
  expect([second.cancels, second.session.leases().map(({ jobId }) => jobId)]).toEqual([[], ["x"]]);
  expect(await rowOf(db, "x")).toMatchObject({ status: "RUNNING", attempt_count: 1 });
  expect(await reportDone(there, held)).toEqual(["ACCEPTED"]);
  await until("its seat is free", () => second.session.load === 0);
});

test("what a worker had there, acked, and no longer holds goes back with the attempt spent", async ({ db, url }) => {
  const { here, there } = await two(url);
  const first = await there.connect({ instanceId: "i", max: 1 });
  await there.moves.dispatch([newJob({ id: "x", maxAttempts: 2 })]);
  await first.got(1);
  await until("it is acked", () => first.session.unacked().length === 0);
  const second = await here.connect({ instanceId: "i", max: 1 });
  expect((await second.got(1)).map(({ jobId, attempt }) => [jobId, attempt])).toEqual([["x", 2]]);
  expect(await rowOf(db, "x")).toMatchObject({ deliveries: 2 });
});

test("a stream that is no longer the current one takes back nothing of the newer one", async ({ db, url }) => {
  const { here, there } = await two(url);
  const first = await there.connect({ instanceId: "i" });
  const second = await here.connect({ instanceId: "i" });
  await here.moves.dispatch([newJob({ id: "x" })]);
  await second.got(1);
  const { sessionId } = first.session.facts;
  expect(await reclaimUnheld(db.reserved, [{ instanceId: "i", sessionId, held: [] }])).toEqual([]);
  const current = { instanceId: "i", sessionId: second.session.facts.sessionId, held: [] };
  expect((await reclaimUnheld(db.reserved, [current])).map(({ jobId }) => jobId)).toEqual(["x"]);
});

test("two processes that share an instance id take turns ever more slowly, also over two brokers", async ({
  db: _,
  url,
}) => {
  const { here, there } = await two(url);
  const waits: number[] = [];
  let last = await here.connect({ instanceId: "i" });
  for (let n = 0; n < 6; n++) {
    const next = await (n % 2 === 0 ? there : here).connect({ instanceId: "i" });
    await until("the older one has ended", () => last.ended !== undefined);
    waits.push(last.ended?.retryAfterMs ?? 0);
    last = next;
  }
  expect(waits).toEqual(waits.toSorted((a, b) => a - b));
  expect(waits[5]).toBeGreaterThan(4 * (waits[0] ?? 0));
});

test("under load every job is done once, whichever broker took it in, with workers that move about", async ({
  db,
  url,
}) => {
  const { here, there } = await two(url);
  const runs = new Map<string, number>();
  const work = (broker: StreamBroker) => ({
    onJobs: (_: unknown, leases: { jobId: string; token: string }[]) => {
      for (const { jobId } of leases) runs.set(jobId, (runs.get(jobId) ?? 0) + 1);
      void reportDone(broker, leases);
    },
  });
  for (const broker of [here, there]) {
    for (let n = 0; n < 3; n++) await broker.connect({ max: 5, types: n === 0 ? ["a"] : [], ...work(broker) });
  }
  const jobs = Array.from({ length: 400 }, (_, n) =>
    newJob({ id: `j${n}`, type: ["a", "b"][n % 2]!, priority: n % 3 }),
  );
  const mover = { instanceId: "mover", max: 3 };
  await Promise.all([
    here.moves.dispatch(jobs.slice(0, 150)),
    there.moves.dispatch(jobs.slice(150, 300)),
    (async () => {
      for (let n = 0; n < 6; n++) {
        const broker = n % 2 === 0 ? here : there;
        // What it got and has not reported when it moves, it has forgotten.
        await broker.connect({ ...mover, ...work(broker) });
      }
    })(),
  ]);
  await here.moves.dispatch(jobs.slice(300));
  await until("all are done", async () => {
    const [row] = await db.sql<{ n: number }[]>`SELECT count(*)::int AS n FROM ai_job WHERE status = 'DONE'`;
    return row?.n === 400;
  });
  expect(runs.size).toBe(400);
  // A second run of a job is one that the mover had forgotten.
  expect([...runs.values()].filter((n) => n > 1).length).toBeLessThanOrEqual(15);
  expect([...here.errors, ...there.errors]).toEqual([]);
  await expectNoDrift(db);
});
