/** How a job comes to a stream: by a dispatch here or there, plain SQL, its time, a type that is resumed; and who shares the queue. */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { newJob } from "../support/jobs.ts";
import { doneItem } from "../support/raw-work.ts";
import { until } from "../support/until.ts";
import {
  afterLooks,
  dispatchAll,
  hearAll,
  idsOf,
  names,
  openWitness,
  openWorker,
  receivedJobs,
  takeJob,
  tally,
} from "../support/work-words.ts";

/** The poll is 50 ms; the machine may be busy. */
const SOON_MS = 3_000;

test("a paused type is not pushed, by any broker; resumed, its jobs are out at once on all of them", async ({
  db,
  url,
}) => {
  await using here = await startTestBroker(url);
  await using there = await startTestBroker(url);
  await using witness = await openWitness(here);
  await using far = await openWitness(there, "witness-2");
  await using near = await openWorker(here, { types: ["ocr", "llm"], maxInFlight: 3 });
  await using other = await openWorker(there, { types: [], maxInFlight: 3, maxByType: { witness: 0, "witness-2": 0 } });
  await here.admin.pauseType({ type: "ocr", reason: "engine broken" });
  await dispatchAll(here, names("o", 4));
  await afterLooks(db, witness);
  await afterLooks(db, far, "witness-2");
  await hearAll(near);
  await hearAll(other);
  expect([...receivedJobs(near), ...receivedJobs(other)]).toEqual([]);
  await dispatchAll(here, ["l"], { type: "llm" });
  await until("the other type flows", () => [...receivedJobs(near), ...receivedJobs(other)].includes("l"), SOON_MS);
  await there.admin.resumeType({ type: "ocr" });
  await until("they are out", () => [...receivedJobs(near), ...receivedJobs(other)].length === 5, SOON_MS);
});

test("jobs that plain SQL inserts are pushed within about a poll, of a type that was never there before", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { types: ["plain-sql"] });
  await hearAll(work);
  const { id } = newJob();
  const since = performance.now();
  await db.sql`
    INSERT INTO ai_job (job_id, job_type, payload, status, priority, max_attempts, next_run_at, created_at, updated_at)
    VALUES (${id}, 'plain-sql', '{"n": 1}', 'PENDING', 0, 3, now(), now(), now())`;
  expect(await takeJob(work, SOON_MS)).toMatchObject({ attempt: 1, job: { id, type: "plain-sql" } });
  expect(performance.now() - since).toBeLessThan(SOON_MS);
});

test("jobs that another broker dispatches are pushed without waiting for the poll", async ({ db: _, url }) => {
  // Far longer than the deadline below: only the bell can tell.
  await using here = await startTestBroker(url, { POLL_EVERY_MS: "1000" });
  await using there = await startTestBroker(url, { POLL_EVERY_MS: "1000" });
  await using work = await openWorker(here, { maxInFlight: 1 });
  const times = [];
  for (const id of names("j", 7)) {
    await hearAll(work);
    const since = performance.now();
    await dispatchAll(there, [id]);
    const job = await takeJob(work);
    times.push(performance.now() - since);
    await work.report([job]);
  }
  // The median: by the poll it would be half a second.
  expect(times.sort((a, b) => a - b)[3]).toBeLessThan(400);
});

test("a job for later is pushed when it is due, not before, also where nothing else happens", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url, { POLL_EVERY_MS: "1000" });
  await using work = await openWorker(broker);
  const due = Date.now() + 700;
  await dispatchAll(broker, ["later"], { runAt: timestampFromMs(due) });
  await dispatchAll(broker, ["now"]);
  expect((await takeJob(work)).job?.id).toBe("now");
  expect((await takeJob(work, 700 + SOON_MS)).job?.id).toBe("later");
  // The database's clock is this machine's.
  expect(Date.now()).toBeGreaterThanOrEqual(due - 5);
  expect(Date.now()).toBeLessThan(due + SOON_MS);
});

test("streaming, long-polling and legacy workers share one queue: each job goes to one of them, and each of them is served", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using other = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 2 });
  const seen: string[] = [];
  const by: Record<string, number> = { stream: 0, poll: 0, legacy: 0 };
  const took = (who: string, ids: string[]) => {
    seen.push(...ids);
    by[who] = (by[who] ?? 0) + ids.length;
  };
  let over = false;
  const streaming = (async () => {
    while (!over) {
      const { jobs } = await work.next("jobs", 1_000).catch(() => ({ jobs: [] }));
      took("stream", idsOf(jobs));
      if (jobs.length > 0) await work.report(jobs);
    }
  })();
  const polling = (async () => {
    while (!over) {
      const { jobs } = await other.worker.claim({ workerId: "poll", types: ["ocr"], wait: { nanos: 200_000_000 } });
      took("poll", idsOf(jobs));
      const items = jobs.map((job) => doneItem(job));
      if (items.length > 0) await other.worker.report({ workerId: "poll", items });
    }
  })();
  const legacy = (async () => {
    while (!over) {
      const { job } = (await broker.rest("GET", "next")).body as { job: { id: string } | null };
      if (job === null) continue;
      took("legacy", [job.id]);
      await broker.rest("POST", "result", { job_id: job.id, status: "DONE", result: {} });
    }
  })();
  for (let batch = 0; batch < 15; batch++) await dispatchAll(broker, names(`b${batch}-`, 8));
  await until("all is done", async () => (await tally(db)).states["DONE"] === 120, 15_000);
  over = true;
  await Promise.all([streaming, polling, legacy]);
  expect(seen.length).toBe(120);
  expect(new Set(seen).size).toBe(120);
  expect(await tally(db)).toEqual({ states: { DONE: 120 }, attempts: 1 });
  for (const [who, count] of Object.entries(by)) expect([who, count > 0]).toEqual([who, true]);
});

test("a long poll that waits and a stream with a free seat: one job goes to one of them, and wakes neither for nothing", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  const waiting = broker.worker.claim({ workerId: "poll", types: ["ocr"], wait: { seconds: 5n } });
  await until("it waits", () => broker.lines.some((line) => line.includes('"worker":"poll","wait_ms"')));
  await dispatchAll(broker, ["a", "b"]);
  const [{ jobs }, pushed] = await Promise.all([waiting, takeJob(work)]);
  expect([...idsOf(jobs), pushed.job?.id].sort()).toEqual(["a", "b"]);
  expect(await tally(db)).toEqual({ states: { RUNNING: 2 }, attempts: 1 });
});
