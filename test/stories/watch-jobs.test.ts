/** WatchJobs on a whole broker: the state, then every change once, over resumes, other brokers and Django's moves. */
import { expect } from "vitest";
import { AIResultStatus, JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { cancel } from "../../src/store/cancel.ts";
import type { Database } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { startTestBroker } from "../support/broker.ts";
import { openTestDatabase, test } from "../support/db.ts";
import { django } from "../support/django.ts";
import { failed, givenJob, givenLease, newJob, reportAll } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { watching } from "../support/watching.ts";

test("by ids: the state now, ended and unknown ones too, then each change as it comes", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await givenJob(db, { id: "ended", priority: -1 });
  await reportAll(db, failed(await givenLease(db), { retryable: false, error: "no ink" }));
  await givenJob(db, { id: "a", tenantId: "t", sourceDomain: "exams", sourceId: "7" });
  await givenJob(db, { id: "other" });
  await using watch = await watching(broker, { jobIds: ["a", "ended", "yet to come", "a"] });
  const frame = watch.frames[0]?.frame;
  expect(frame).toMatchObject({ case: "state", value: { complete: true, unknownJobIds: ["yet to come"] } });
  expect(watch.jobs.sort((x, y) => x.jobId.localeCompare(y.jobId))).toMatchObject([
    { jobId: "a", type: "ocr", status: JobStatus.PENDING, attempt: 0, seq: 1n, tenantId: "t", sourceId: "7" },
    { jobId: "ended", status: JobStatus.FAILED, attempt: 1, seq: 3n, error: "no ink" },
  ]);
  await givenLease(db, "w1");
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: "yet to come" }] });
  await broker.jobs.retryJobs({ jobIds: ["ended"] });
  expect(await watch.heard(3)).toEqual(["a 2 STARTED", "yet to come 1 DISPATCHED", "ended 4 RETRIED"]);
  expect(watch.events[0]).toMatchObject({
    eventId: "a/2",
    status: JobStatus.RUNNING,
    attempt: 1,
    workerId: "w1",
    tenantId: "t",
    sourceDomain: "exams",
    sourceId: "7",
    at: expect.anything(),
  });
});

test("by type, tenant or source only what fits is told; of a source its ended jobs are in the state", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  const exam = { sourceDomain: "exams", sourceId: "7" };
  await dispatch(db.sql, [
    newJob({ id: "ocr-t", tenantId: "t" }),
    newJob({ id: "ocr-u", tenantId: "u" }),
    newJob({ id: "embed-t", type: "embed", tenantId: "t", ...exam }),
    newJob({ id: "gone", type: "embed", ...exam }),
  ]);
  await cancel(db.sql, ["gone"], "", 0);
  await using byType = await watching(broker, { types: ["embed"] });
  await using byTenant = await watching(broker, { tenantId: "t", types: ["ocr"] });
  await using bySource = await watching(broker, exam);
  expect(byType.jobs.map(({ jobId }) => jobId)).toEqual(["embed-t"]);
  expect(byTenant.jobs.map(({ jobId }) => jobId)).toEqual(["ocr-t"]);
  expect(bySource.jobs.map(({ jobId }) => jobId)).toEqual(["embed-t", "gone"]);
  await broker.jobs.cancelJobs({ jobIds: ["ocr-t", "ocr-u", "embed-t"] });
  expect(await byType.heard(1)).toEqual(["embed-t 2 CANCELLED"]);
  expect(await byTenant.heard(1)).toEqual(["ocr-t 2 CANCELLED"]);
  expect(await bySource.heard(1)).toEqual(["embed-t 2 CANCELLED"]);
});

test("what another broker and Django do is told as well", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using other = await startTestBroker(url);
  await using watch = await watching(broker, { types: ["ocr"] });
  await other.jobs.dispatch({ jobs: [{ type: "ocr", id: "far" }] });
  const lease = await givenLease(db);
  await django.done(db.sql, "far");
  expect(await watch.heard(3)).toEqual(["far 1 DISPATCHED", "far 2 STARTED", "far 3 DONE"]);
  expect(watch.events[2]).toMatchObject({ workerId: lease.workerId, status: JobStatus.DONE });
});

test("a cursor goes on behind its frame, on another broker too: nothing is missed, nothing told twice", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using other = await startTestBroker(url);
  const filter = { types: ["ocr"] };
  const told: string[] = [];
  let cursor = "";
  for (let round = 0; round < 5; round++) {
    const at = round % 2 === 0 ? broker : other;
    await using watch = await watching(at, { ...filter, cursor, changesOnly: true });
    await givenJob(db, { id: `during-${round}` });
    await until("it is told", () => watch.told.includes(`during-${round} 1 DISPATCHED`));
    told.push(...watch.told);
    ({ cursor } = watch);
    await watch[Symbol.asyncDispose]();
    await givenJob(db, { id: `between-${round}` });
  }
  await using last = await watching(broker, { ...filter, cursor });
  told.push(...(await last.heard(1)));
  const rounds = [0, 1, 2, 3, 4].flatMap((n) => [`during-${n} 1 DISPATCHED`, `between-${n} 1 DISPATCHED`]);
  expect(told).toEqual(rounds);
  // A cursor has no state before it.
  expect(last.frames.some(({ frame }) => frame.case === "state")).toBe(false);
});

test("what the state shows is not told again, also when an older transaction has held it back", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  const slow = openTestDatabase(url);
  const release = Promise.withResolvers<void>();
  const open = Promise.withResolvers<void>();
  const held = slow.sql.begin(async (tx) => {
    await dispatch(tx as unknown as Database["sql"], [newJob({ id: "slow" })]);
    open.resolve();
    await release.promise;
  });
  await open.promise;
  await givenJob(db, { id: "shown" });
  await using watch = await watching(broker, { types: ["ocr"] });
  expect(watch.jobs.map(({ jobId }) => jobId)).toEqual(["shown"]);
  const { cursor } = watch;
  await givenJob(db, { id: "later" });
  release.resolve();
  await held;
  expect((await watch.heard(2)).sort()).toEqual(["later 1 DISPATCHED", "slow 1 DISPATCHED"]);
  // Nor to who goes on with the cursor of that state.
  await using again = await watching(broker, { types: ["ocr"], cursor });
  expect((await again.heard(2)).sort()).toEqual(["later 1 DISPATCHED", "slow 1 DISPATCHED"]);
  await givenJob(db, { id: "end" });
  await until("the end is told", () => again.told.includes("end 1 DISPATCHED"));
  expect(again.told).toHaveLength(3);
  await slow.close();
});

test("in a storm of jobs each watcher hears of each of them once, those of one job in order", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await using all = await watching(broker, { types: ["ocr"], changesOnly: true });
  const worker = async (workerId: string) => {
    for (let n = 0; n < 40; n++) {
      await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: `${workerId}-${n}` }] });
      const { jobs } = await broker.worker.claim({ workerId, types: ["ocr"], maxJobs: 3 });
      const items = jobs.map(({ job, leaseToken }) => ({
        leaseToken,
        result: { jobId: job?.id ?? "", status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson: "{}" },
      }));
      if (items.length > 0) await broker.worker.report({ workerId, items });
    }
  };
  await Promise.all(["a", "b", "c", "d"].map(worker));
  const rows = await db.sql`SELECT job_id || '/' || seq AS id FROM ai_event`;
  await until("all is told", () => all.events.length >= rows.length);
  const ids = all.events.map(({ eventId }) => eventId);
  expect(new Set(ids).size).toBe(ids.length);
  expect([...ids].sort()).toEqual(rows.map(({ id }) => String(id)).sort());
  const seqs = Map.groupBy(all.events, ({ jobId }) => jobId);
  for (const events of seqs.values()) {
    const numbers = events.map(({ seq }) => Number(seq));
    expect(numbers).toEqual(numbers.toSorted((x, y) => x - y));
  }
});

test("an idle watch hears heartbeats, whose cursor moves on", async ({ db, url }) => {
  await using broker = await startTestBroker(url, { WATCH_HEARTBEAT_MS: "100" });
  await using watch = await watching(broker, { types: ["none"] });
  await givenJob(db, { id: "not mine" });
  await until("beats came", () => watch.frames.filter(({ frame }) => frame.case === "heartbeat").length >= 3);
  const cursors = watch.frames.map(({ cursor }) => cursor);
  expect(cursors.every((cursor) => cursor !== "")).toBe(true);
  await until("the cursor has moved", () => watch.cursor !== cursors[0]);
});
