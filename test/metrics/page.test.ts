/** /metrics of a whole broker: who may see it, and that it counts what happened. */
import { connect } from "node:http2";
import { text } from "node:stream/consumers";
import { expect } from "vitest";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { CATALOG } from "../../src/metrics/catalog.ts";
import { API_TOKEN, startTestBroker, type TestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { until } from "../support/until.ts";
import { openWorker, takeJob } from "../support/work-words.ts";
import { type ReadPage, readPage } from "./read-page.ts";

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

async function pageOf(broker: Pick<TestBroker, "url">): Promise<ReadPage> {
  const response = await fetch(`${broker.url}/metrics`, bearer(API_TOKEN));
  expect([response.status, response.headers.get("content-type")]).toEqual([
    200,
    "text/plain; version=0.0.4; charset=utf-8",
  ]);
  return readPage(await response.text());
}

const done = (jobId: string) => ({ jobId, status: AIResultStatus.AI_RESULT_STATUS_DONE });
const failed = (jobId: string) => ({ jobId, status: AIResultStatus.AI_RESULT_STATUS_FAILED, error: "no" });

test("an api token opens it, and nothing else does", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  const asked = async (init: RequestInit) => {
    const response = await fetch(`${broker.url}/metrics`, init);
    const text = await response.text();
    return [response.status, /"reason":"(\w+)"/.exec(text)?.[1], text.includes("aibroker_")];
  };
  expect(await asked({})).toEqual([401, "BAD_TOKEN", false]);
  expect(await asked(bearer("guess"))).toEqual([401, "BAD_TOKEN", false]);
  expect(await asked(bearer(WORKER_TOKEN))).toEqual([403, "WRONG_ROLE", false]);
  expect(await asked({ headers: { "x-worker-token": API_TOKEN } })).toEqual([200, undefined, true]);
  expect(await asked({ ...bearer(API_TOKEN), method: "POST" })).toEqual([405, "NOT_SERVED", false]);
  expect(await asked({ ...bearer(API_TOKEN), method: "HEAD" })).toEqual([200, undefined, false]);
  const page = await pageOf(broker);
  expect(page.value("aibroker_errors_total", { method: "metrics", reason: "BAD_TOKEN" })).toBe(2);
});

test("METRICS_OPEN shows it to everybody, and a broker without api tokens says what is missing", async ({
  db: _,
  url,
}) => {
  {
    await using open = await startTestBroker(url, { METRICS_OPEN: "true" });
    expect((await fetch(`${open.url}/metrics`)).status).toBe(200);
  }
  await using closed = await startTestBroker(url, { INTERNAL_API_TOKEN: "" });
  const response = await fetch(`${closed.url}/metrics`, bearer(API_TOKEN));
  expect([response.status, await response.text()]).toEqual([503, expect.stringContaining("INTERNAL_API_TOKEN")]);
});

test("every metric of the catalog is on the page, and each is of its type", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  const { types } = await pageOf(broker);
  for (const [name, { type }] of Object.entries(CATALOG)) expect(types.get(name), name).toBe(type);
  expect([...types.keys()].filter((name) => !/^(aibroker|process|nodejs)_/.test(name))).toEqual([]);
});

test("a job's way is counted: dispatch, wait, claim, report, and what went wrong", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { BACKOFF_BASE_MS: "0", DEFAULT_MAX_ATTEMPTS: "1" });
  const { worker, jobs } = broker;
  const ids = ["a", "b", "c"];
  await jobs.dispatch({ jobs: ids.map((id) => ({ id, type: "ocr", payloadJson: "{}" })) });
  await jobs.dispatch({ jobs: [{ id: "a", type: "ocr", payloadJson: "{}" }] });
  const claimed = await worker.claim({ workerId: "w", types: ["ocr"], maxJobs: 2 });
  const [first, second] = claimed.jobs;
  const report = (leaseToken: string, result: ReturnType<typeof done | typeof failed>) =>
    worker.report({ workerId: "w", items: [{ leaseToken, result }] });
  await report(first?.leaseToken ?? "", done("a"));
  await report(first?.leaseToken ?? "", done("a"));
  await report("stale", done("b"));
  await report(second?.leaseToken ?? "", failed("b"));
  await worker.heartbeat({ workerId: "w", leases: [{ jobId: "b", leaseToken: "stale" }] });
  await jobs.cancelJobs({ jobIds: ["c"] });
  await jobs.retryJobs({ jobIds: ["b", "nobody"] });
  await jobs.getJob({ jobId: "nobody" }).catch(() => undefined);
  const page = await pageOf(broker);

  const moves = Object.fromEntries(
    page.samples
      .filter(({ name }) => name === "aibroker_moves_total")
      .map(({ labels, value }) => [`${labels["move"]} ${labels["outcome"]} ${labels["type"]}`, value]),
  );
  expect(moves).toMatchObject({
    "dispatch dispatched ocr": 3,
    "dispatch known ocr": 1,
    "claim claimed ocr": 2,
    "report done ocr": 1,
    "report duplicate ": 1,
    "report lease_lost ": 1,
    "report failed ocr": 1,
    "heartbeat lost ": 1,
    "cancel cancelled ocr": 1,
    "retry retried ocr": 1,
    "retry not_found ": 1,
  });
  expect(page.value("aibroker_lease_losses_total", { seen_by: "report" })).toBe(1);
  expect(page.value("aibroker_lease_losses_total", { seen_by: "heartbeat" })).toBe(1);
  expect(page.value("aibroker_assign_seconds_count", { type: "ocr" })).toBe(2);
  expect(page.value("aibroker_done_seconds_count", { type: "ocr" })).toBe(1);
  expect(page.value("aibroker_statement_seconds_count", { move: "report" })).toBe(4);
  expect(page.value("aibroker_batch_size_sum", { move: "claim" })).toBe(2);
  expect(page.value("aibroker_batch_size_bucket", { move: "dispatch", le: "1" })).toBe(1);
  expect(page.value("aibroker_calls_total", { method: "aibroker.v1.WorkerService/Report" })).toBe(4);
  const errors = { method: "aibroker.v1.JobService/GetJob", reason: "JOB_NOT_FOUND" };
  expect(page.value("aibroker_errors_total", errors)).toBe(1);
  // Retried just now, so due; nothing else is left.
  expect(page.value("aibroker_jobs", { type: "ocr", state: "due" })).toBe(1);
  expect(page.value("aibroker_oldest_pending_age_seconds", { type: "ocr" })).toBeLessThan(20);
  expect(page.value("aibroker_database_up")).toBe(1);
  expect(page.value("aibroker_oldest_xmin_age_seconds")).toBeGreaterThanOrEqual(0);
  expect(page.value("aibroker_pool_size", { pool: "main" })).toBe(8);
  expect(page.value("aibroker_statements_in_flight", { pool: "reserved" })).toBe(0);
});

test("streams, seats and reclaims are counted", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { LEASE_TTL_MS: "100" });
  await using work = await openWorker(broker, { types: ["ocr"], maxInFlight: 3 });
  await broker.jobs.dispatch({ jobs: [{ id: "a", type: "ocr", payloadJson: "{}" }] });
  await takeJob(work);
  const page = await pageOf(broker);
  expect(page.value("aibroker_streams_open")).toBe(1);
  const seats = ["used", "free"].map((state) => page.value("aibroker_seats", { state }) ?? 0);
  expect(seats.reduce((sum, count) => sum + count)).toBe(3);
  expect(page.value("aibroker_moves_total", { move: "claim", outcome: "claimed" })).toBeGreaterThanOrEqual(1);
  expect(page.value("aibroker_assign_seconds_count", { type: "ocr" })).toBeGreaterThanOrEqual(1);
  // Nobody sends a heartbeat: the job goes back, and comes again.
  await until("the lease is taken back", async () => {
    return ((await pageOf(broker)).value("aibroker_reclaims_total") ?? 0) > 0;
  });
});

test("legacy workers' requests count too, and wrong paths do not make new series", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ id: "old", type: "ocr", payloadJson: "{}" }] });
  await broker.rest("GET", "next");
  await broker.rest("POST", "result", { job_id: "old", status: "DONE" });
  await broker.rest("POST", "result", { job_id: "nobody", status: "DONE" });
  for (const path of ["a", "b", "c"]) await fetch(`${broker.url}/${path}`);
  const page = await pageOf(broker);
  expect(page.value("aibroker_moves_total", { move: "report", outcome: "done" })).toBe(1);
  expect(page.value("aibroker_done_seconds_count", { type: "ocr" })).toBe(1);
  expect(page.value("aibroker_errors_total", { method: "rest/result" })).toBe(1);
  expect(page.value("aibroker_errors_total", { method: "unknown", reason: "NOT_SERVED" })).toBe(3);
});

test("any number of job types makes a bounded page", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  const types = Array.from({ length: 250 }, (_, at) => `type-${at}-"\\`);
  await broker.jobs.dispatch({ jobs: types.map((type) => ({ type, payloadJson: "{}" })) });
  const page = await pageOf(broker);
  const counted = page.samples.filter(({ name, labels }) => name === "aibroker_jobs" && labels["state"] === "due");
  expect(counted).toHaveLength(101);
  expect(counted.reduce((sum, { value }) => sum + value, 0)).toBe(250);
  expect(page.value("aibroker_jobs", { type: "other", state: "due" })).toBe(150);
  expect(page.value("aibroker_moves_total", { move: "dispatch", type: types[0] as string })).toBe(1);
});

test("a stream that its worker's fault ends is an error of Work, and one that just ends is none", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker);
  work.send({ hello: {} });
  expect(await work.ended).toMatchObject({ reason: "BAD_FIELD" });
  {
    await using leaving = await openWorker(broker, { instanceId: "leaving" });
    leaving.send({ drain: {} });
    expect(await leaving.ended).toMatchObject({ code: 0 });
  }
  const page = await pageOf(broker);
  const ofWork = page.samples.filter(
    ({ name, labels }) => name === "aibroker_errors_total" && labels["method"] === "aibroker.v1.WorkerService/Work",
  );
  expect(ofWork.map(({ labels, value }) => [labels["reason"], value])).toEqual([["BAD_FIELD", 1]]);
});

test("it is there over HTTP/2, too", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { METRICS_OPEN: "true" });
  const session = connect(broker.url);
  const call = session.request({ ":path": "/metrics" });
  const page = await text(call);
  session.close();
  expect(readPage(page).value("aibroker_database_up")).toBe(1);
});

test("with the database away the page is there, without what only the database knows", async () => {
  await using broker = await startTestBroker("postgres://nobody@127.0.0.1:1/none");
  const page = await pageOf(broker);
  expect(page.value("aibroker_database_up")).toBe(0);
  expect(page.samples.some(({ name }) => name === "aibroker_jobs")).toBe(false);
  expect(page.value("process_resident_memory_bytes")).toBeGreaterThan(0);
});
