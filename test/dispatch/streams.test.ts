/** One broker's streams on a real database. */
import { describe, expect } from "vitest";
import { openSessions } from "../../src/store/sessions.ts";
import { pauseType, resumeType } from "../../src/store/type-pause.ts";
import { test } from "../support/db.ts";
import { done, expectNoDrift, givenJob, newJob, reportAll, rowOf, statusOf } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { capacity } from "./fake-streams.ts";
import { reportDone, startStreams } from "./stream-broker.ts";

describe("a job reaches a stream", () => {
  test("as soon as it is dispatched, without a poll, and its report makes room for the next", async ({ db, url }) => {
    await using broker = await startStreams(url);
    const worker = await broker.connect({ types: ["ocr"], max: 1 });
    await broker.moves.dispatch([newJob({ id: "x" }), newJob({ id: "y" }), newJob({ id: "other", type: "b" })]);
    await worker.got(1);
    expect([worker.ids(), worker.session.free]).toEqual([["x"], 0]);
    expect(await reportDone(broker, worker.jobs)).toEqual(["ACCEPTED"]);
    await worker.got(2);
    expect(worker.ids()).toEqual(["x", "y"]);
    expect(await rowOf(db, "y")).toMatchObject({ status: "RUNNING", locked_by: "w", attempt_count: 1 });
    expect([await statusOf(db, "x"), await statusOf(db, "other")]).toEqual(["DONE", "PENDING"]);
    await expectNoDrift(db);
  });

  test("that opens long after it was written, and by the poll when plain SQL writes it then", async ({ db, url }) => {
    await givenJob(db, { id: "old" });
    await using broker = await startStreams(url, { pollMs: 20 });
    const worker = await broker.connect();
    await worker.got(1);
    await db.sql`INSERT INTO ai_job (job_id, job_type) VALUES ('by-hand', 'ocr')`;
    await worker.got(2);
    expect(worker.ids()).toEqual(["old", "by-hand"]);
  });

  test("when its run_at comes, long before the next poll", async ({ db: _, url }) => {
    await using broker = await startStreams(url);
    const worker = await broker.connect();
    await broker.moves.dispatch([newJob({ id: "later", runAt: new Date(Date.now() + 150) })]);
    expect((await worker.got(1)).map(({ jobId }) => jobId)).toEqual(["later"]);
  });

  test("when its type is resumed, and not before", async ({ db, url }) => {
    await using broker = await startStreams(url);
    const worker = await broker.connect();
    await pauseType(db, "ocr", "");
    await broker.moves.dispatch([newJob({ id: "held" }), newJob({ id: "free", type: "b" })]);
    await worker.got(1);
    expect(worker.ids()).toEqual(["free"]);
    await resumeType(db, "ocr");
    broker.moves.resumed();
    await worker.got(2);
    expect(worker.ids()).toEqual(["free", "held"]);
  });

  test("oldest first: a backlog goes before what is dispatched now", async ({ db, url }) => {
    for (const id of ["1", "2", "3"]) await givenJob(db, { id });
    await using broker = await startStreams(url);
    const worker = await broker.connect({ max: 1 });
    await broker.moves.dispatch([newJob({ id: "new" }), newJob({ id: "urgent", priority: -1 })]);
    for (let n = 1; n <= 5; n++) await reportDone(broker, (await worker.got(n)).slice(-1));
    expect(worker.ids().toSorted()).toEqual(["1", "2", "3", "new", "urgent"]);
    expect(worker.ids().indexOf("urgent")).toBeLessThanOrEqual(1);
    expect(worker.ids().filter((id) => id !== "urgent")).toEqual(["1", "2", "3", "new"]);
  });
});

describe("a stream that ends", () => {
  test("gives back what it never acked, unburnt, to another worker at once; what it acked it keeps", async ({
    db,
    url,
  }) => {
    await using broker = await startStreams(url);
    const worker = await broker.connect({ acks: false, max: 2 });
    await broker.moves.dispatch([newJob({ id: "acked", maxAttempts: 1 })]);
    await worker.got(1);
    broker.streams.sessions.heard(worker.session, 1);
    await broker.moves.dispatch([newJob({ id: "unacked", maxAttempts: 1 })]);
    await worker.got(2);
    const other = await broker.connect();
    await worker.vanish();
    expect((await other.got(1)).map(({ jobId, attempt }) => [jobId, attempt])).toEqual([["unacked", 1]]);
    expect(await rowOf(db, "acked")).toMatchObject({ status: "RUNNING", attempt_count: 1 });
    await expectNoDrift(db);
  });

  test("and comes back with what it holds never has more than it asked for, nor loses it", async ({ db, url }) => {
    await using broker = await startStreams(url);
    const first = await broker.connect({ instanceId: "i", max: 2 });
    await broker.moves.dispatch(["a", "b", "c", "d"].map((id) => newJob({ id })));
    await first.got(2);
    await until("both are acked", () => first.session.unacked().length === 0);
    const [a, b] = first.jobs;
    // It remembers only one of the two.
    const second = await broker.connect({ instanceId: "i", max: 2, held: a === undefined ? [] : [a] });
    expect(first.ended).toMatchObject({ reason: "SESSION_SUPERSEDED" });
    expect(second.held).toMatchObject([{ jobId: "a", verdict: "CONTINUE", type: "ocr" }]);
    await second.got(1);
    expect([second.ids(), second.session.free]).toEqual([["b"], 0]);
    expect(await rowOf(db, "b")).toMatchObject({ attempt_count: 2 });
    expect(await reportDone(broker, b === undefined ? [] : [b])).toEqual(["LEASE_LOST"]);
    expect(await reportDone(broker, a === undefined ? [] : [a])).toEqual(["ACCEPTED"]);
    await second.got(2);
    expect(second.ids()).toEqual(["b", "c"]);
  });

  test("before it could ack a job, and comes back naming it, goes on with it", async ({ db, url }) => {
    await using broker = await startStreams(url);
    const first = await broker.connect({ instanceId: "i", acks: false });
    await broker.moves.dispatch([newJob({ id: "x" })]);
    const [x] = await first.got(1);
    const second = await broker.connect({ instanceId: "i", held: x === undefined ? [] : [x] });
    expect(second.held).toMatchObject([{ jobId: "x", verdict: "CONTINUE" }]);
    expect([second.session.load, second.jobs]).toEqual([1, []]);
    expect(await reportDone(broker, x === undefined ? [] : [x])).toEqual(["ACCEPTED"]);
    expect([second.session.load, await statusOf(db, "x")]).toEqual([0, "DONE"]);
  });
});

describe("what nobody told of", () => {
  test("is found by the resync: a lease that ended or is to end, and a stream that is no longer the current one", async ({
    db,
    url,
  }) => {
    await using broker = await startStreams(url);
    const worker = await broker.connect({ instanceId: "i", workerId: "w1" });
    await broker.moves.dispatch(["settled", "lost", "cancelled", "held"].map((id) => newJob({ id })));
    const leases = Object.fromEntries((await worker.got(4)).map((lease) => [lease.jobId, lease]));
    const old = await broker.connect({ instanceId: "old" });
    // As other brokers do it whose messages did not come through.
    await reportAll(db, done(leases["settled"]!));
    await db.sql`UPDATE ai_job SET status = 'FAILED' WHERE job_id = 'lost'`;
    await db.sql`UPDATE ai_job SET cancel_requested_at = now() WHERE job_id = 'cancelled'`;
    const facts = { instanceId: "old", sessionId: "newer", workerId: "w", types: [], maxInFlight: 1, client: "" };
    await openSessions(db.reserved, "other broker", [facts]);
    await broker.streams.resync();
    expect(worker.cancels.toSorted()).toEqual(["cancelled CANCELLED", "lost LOST"]);
    expect(worker.session.leases().map(({ jobId }) => jobId)).toEqual(["cancelled", "held"]);
    expect([worker.ended, old.ended?.reason]).toEqual([undefined, "SESSION_SUPERSEDED"]);
    await broker.streams.resync();
    expect(worker.cancels).toHaveLength(2);
  });

  test("that a session is over, is found by the next claim: others get its jobs, and it is ended", async ({
    db,
    url,
  }) => {
    await using broker = await startStreams(url);
    const dead = await broker.connect({ instanceId: "dead" });
    const facts = { instanceId: "dead", sessionId: "newer", workerId: "w", types: [], maxInFlight: 1, client: "" };
    await openSessions(db.reserved, "other broker", [facts]);
    const alive = await broker.connect({ max: 5 });
    await broker.moves.dispatch(["a", "b", "c"].map((id) => newJob({ id })));
    await alive.got(3);
    expect([dead.jobs, dead.ended?.reason]).toEqual([[], "SESSION_SUPERSEDED"]);
  });
});

test("limits of types hold over many rounds, and everything is done once", async ({ db, url }) => {
  await using broker = await startStreams(url);
  const most = { a: 0, b: 0, all: 0 };
  const reported = new Set<string>();
  await broker.connect({
    capacity: capacity(4, { a: 1, b: 3 }),
    onJobs(worker, leases) {
      // As the worker counts it: all that came and was not reported.
      const running = worker.jobs.filter(({ token }) => !reported.has(token));
      const of = (type: string) => running.filter((lease) => lease.type === type).length;
      Object.assign(most, {
        a: Math.max(most.a, of("a")),
        b: Math.max(most.b, of("b")),
        all: Math.max(most.all, running.length),
      });
      for (const { token } of leases) reported.add(token);
      void reportDone(broker, leases);
    },
  });
  const types = ["a", "b", "c"];
  await broker.moves.dispatch(Array.from({ length: 120 }, (_, n) => newJob({ id: `j${n}`, type: types[n % 3]! })));
  await until("all are done", async () => {
    const [row] = await db.sql<{ n: number }[]>`SELECT count(*)::int AS n FROM ai_job WHERE status = 'DONE'`;
    return row?.n === 120;
  });
  expect(reported.size).toBe(120);
  expect(most.a).toBe(1);
  expect(most.b).toBeLessThanOrEqual(3);
  expect(most.all).toBeLessThanOrEqual(4);
  expect(broker.errors).toEqual([]);
  await expectNoDrift(db);
});
