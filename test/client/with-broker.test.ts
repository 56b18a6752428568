/** The SDK's two sides and a real broker. */
import { expect } from "vitest";
import { createClient, createWorker, Fatal, type JobState, RetryIn } from "../../src/client/index.ts";
import { API_TOKEN, startTestBroker, type TestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { until } from "../support/until.ts";
import { becomes } from "./becomes.ts";
import { type Given, startWorker } from "./given-worker.ts";

const clientOf = (broker: TestBroker) => createClient({ url: broker.url, token: API_TOKEN });
const workerOf = (broker: TestBroker, given: Given = {}) => startWorker(broker.url, { token: WORKER_TOKEN, ...given });

test.for([
  ["grpc-js", "stream"],
  ["connect", "stream"],
  ["grpc-js", "poll"],
  ["connect", "poll"],
] as const)("a dispatched job is done and read back over %s by %s", async ([transport, mode], { db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using client = createClient({ url: broker.url, token: API_TOKEN, transport });
  const worker = createWorker({
    url: broker.url,
    token: WORKER_TOKEN,
    transport,
    mode,
    signals: false,
    types: { ocr: { handler: ({ payload }) => ({ text: `read ${payload.image_path}` }) } },
  });
  const stop = new AbortController();
  const running = worker.run({ signal: stop.signal });
  const { jobId } = await client.dispatch("ocr", { image_path: "1.png" });
  const job = await becomes(client, jobId, "DONE");
  expect(job).toMatchObject({ result: { text: "read 1.png" }, lockedBy: worker.workerId, attempts: 1 });
  stop.abort();
  await running;
});

test("a failure is tried again at once when the handler says so, and a Fatal never is", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { BACKOFF_BASE_MS: "60000" });
  await using client = clientOf(broker);
  await using worker = workerOf(broker);
  const { jobId } = await client.dispatch("ocr", { image_path: "1.png" });
  (await worker.started.take()).fail(new RetryIn(0, "busy"));
  const second = await worker.started.take();
  expect(second.ctx.attempt).toBe(2);
  second.fail(new Fatal("no such image"));
  const job = await becomes(client, jobId, "FAILED");
  expect(job).toMatchObject({ attempts: 2, lastError: "no such image" });
  expect(await client.retry(jobId)).toMatchObject({ status: "RETRIED", jobStatus: "PENDING" });
  expect((await worker.started.take()).ctx.attempt).toBe(1);
});

test("a cancel reaches the handler at once, and the job is CANCELLED by whatever it reports", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using client = clientOf(broker);
  await using worker = workerOf(broker);
  const { jobId } = await client.dispatch("ocr", { image_path: "1.png" });
  const { ctx, fail } = await worker.started.take();
  const told = new Promise<number>((resolve) => {
    ctx.signal.addEventListener("abort", () => resolve(performance.now()));
  });
  const since = performance.now();
  expect(await client.cancel(jobId, { reason: "a slip" })).toMatchObject({ status: "REQUESTED", jobStatus: "RUNNING" });
  // Far below the heartbeat's interval of 40 s: it was pushed.
  expect((await told) - since).toBeLessThan(2_000);
  fail(ctx.signal.reason);
  expect(await becomes(client, jobId, "CANCELLED")).toMatchObject({ cancelReason: "a slip" });
});

test("a handler that heeds no cancel loses its lease after the grace time, and its result is dropped", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url, { CANCEL_GRACE_MS: "100" });
  await using client = clientOf(broker);
  await using worker = workerOf(broker);
  const { jobId } = await client.dispatch("ocr", { image_path: "1.png" });
  const { finish } = await worker.started.take();
  await client.cancel(jobId);
  await becomes(client, jobId, "CANCELLED");
  const { jobId: next } = await client.dispatch("ocr", { image_path: "2.png" });
  finish({ too: "late" });
  // Its seat is free again only now.
  const second = await worker.started.take();
  expect(second.id).toBe(next);
  const dropped = (line: { words: string }) => line.words.startsWith("the lease was lost meanwhile");
  expect(worker.lines.some(dropped)).toBe(true);
  expect((await client.get(jobId))?.result).toBeUndefined();
});

test("progress is there to be read", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using client = clientOf(broker);
  await using worker = workerOf(broker);
  const { jobId } = await client.dispatch("ocr", { image_path: "1.png" });
  const { ctx } = await worker.started.take();
  ctx.progress(40, "page 2 of 5");
  const seen = await until("it is told", async () => (await client.get(jobId))?.progress);
  expect(seen).toEqual({ percent: 40, note: "page 2 of 5" });
  expect(await ctx.heartbeat()).toBe("CONTINUE");
});

test("a result that only the broker finds too large ends as FAILED, and those beside it as DONE", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url, { MAX_RESULT_BYTES: "200" });
  await using client = clientOf(broker);
  await using worker = workerOf(broker, { seats: { ocr: 3 } });
  const jobs = await client.dispatchMany(
    ["1", "2", "3"].map((image_path) => ({ type: "ocr", payload: { image_path } }) as const),
  );
  const atWork = [await worker.started.take(), await worker.started.take(), await worker.started.take()];
  // Short as JSON, and 301 digits once Postgres writes it out.
  for (const { id, finish } of atWork) finish({ n: id === jobs[1]?.jobId ? 1e300 : 1 });
  const ends = ["DONE", "FAILED", "DONE"] as const;
  for (const [index, { jobId }] of jobs.entries()) await becomes(client, jobId, ends[index] as JobState);
  const failed = await client.get(jobs[1]?.jobId ?? "");
  expect(failed?.lastError).toMatch(/^the broker refused the result: .*MAX_RESULT_BYTES/);
  expect(failed?.attempts).toBe(1);
});

test.for([
  ["", "BAD_TOKEN"],
  ["wrong", "BAD_TOKEN"],
  [API_TOKEN, "WRONG_ROLE"],
] as const)(
  "a worker with the token '%s' ends with the broker's words: %s",
  async ([token, reason], { db: _, url }) => {
    await using broker = await startTestBroker(url);
    for (const mode of ["stream", "poll"] as const) {
      await expect(workerOf(broker, { token, mode }).running).rejects.toMatchObject({ name: "BrokerError", reason });
    }
  },
);

test("two workers with one instance id take turns with long pauses, and say why", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using first = workerOf(broker, { instanceId: "twin" });
  await until("the first is connected", () => first.lines.some(({ words }) => words === "connected to a broker"));
  await using second = workerOf(broker, { instanceId: "twin" });
  const told = (line: { words: string }) => line.words.includes("give each process its own instanceId");
  await until("the first says why", () => first.lines.some(told));
  await until("the second does, too", () => second.lines.some(told));
  const turns = [first, second].flatMap(({ lines }) => lines.filter(({ words }) => words === "connected to a broker"));
  expect(turns.length).toBeLessThanOrEqual(4);
});
