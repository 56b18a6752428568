/** One trace from a producer through the broker to a worker in another process and back. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createClient as createRpcClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { trace } from "@opentelemetry/api";
import { expect } from "vitest";
import { createClient } from "../../src/client/index.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { API_TOKEN, startTestBroker, type TestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { withToken } from "../support/rpc-clients.ts";
import { until } from "../support/until.ts";
import { recordSpans, type SeenSpan } from "./recorded-spans.ts";

/** A worker in another process, and its spans as they come. */
function startWorker(broker: TestBroker, mode: "stream" | "poll") {
  const path = fileURLToPath(new URL("./traced-worker.ts", import.meta.url));
  const settings = JSON.stringify({ url: broker.url, token: WORKER_TOKEN, mode });
  const child = spawn(process.execPath, [path, settings], { stdio: ["pipe", "pipe", "inherit"] });
  const spans: SeenSpan[] = [];
  createInterface(child.stdout).on("line", (line) => void spans.push(JSON.parse(line)));
  const ended = new Promise((resolve) => child.once("close", resolve));
  return {
    spans() {
      if (child.exitCode !== null) throw new Error(`the worker has ended with ${child.exitCode}`);
      return spans;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}

/** The span of this name about this job; waits until it is there. */
async function spanOf(where: () => SeenSpan[], name: string, jobId?: string): Promise<SeenSpan> {
  return await until(`a span ${name} of ${jobId ?? "any job"} has ended`, () =>
    where().find((span) => span.name === name && (jobId === undefined || span.attributes["aibroker.job.id"] === jobId)),
  );
}

test.for(["stream", "poll"] as const)(
  "dispatch, claim, handler and report are one trace across processes, by %s",
  async (mode, { db: _, url }) => {
    using recorded = recordSpans();
    await using broker = await startTestBroker(url);
    await using worker = startWorker(broker, mode);
    await using client = createClient({ url: broker.url, token: API_TOKEN });
    const { jobId } = await client.dispatch("ocr", { image_path: "1.png" });

    const sent = await spanOf(recorded.seen, "dispatch ocr", jobId);
    const stored = await spanOf(recorded.seen, "dispatch", jobId);
    const claim = await spanOf(recorded.seen, "claim ocr", jobId);
    const work = await spanOf(worker.spans, "work ocr", jobId);
    const inner = await spanOf(worker.spans, "read the sheet");
    const told = await spanOf(worker.spans, "report ocr", jobId);
    const settled = await spanOf(recorded.seen, "report", jobId);

    const all = [sent, stored, claim, work, inner, told, settled];
    expect(new Set(all.map(({ traceId }) => traceId))).toEqual(new Set([sent.traceId]));
    expect(sent).toMatchObject({ kind: "PRODUCER", parentId: undefined });
    for (const child of [stored, claim, work, settled]) expect(child.parentId, child.name).toBe(sent.spanId);
    expect([inner.parentId, told.parentId]).toEqual([work.spanId, work.spanId]);
    expect([stored.kind, claim.kind, work.kind, told.kind, settled.kind]).toEqual([
      "SERVER",
      "INTERNAL",
      "CONSUMER",
      "CLIENT",
      "SERVER",
    ]);
    expect([work.isRemoteParent, work.pid === sent.pid]).toEqual([true, false]);
    expect(told.attributes).toMatchObject({ "aibroker.outcome": "ACCEPTED" });
    expect(settled.attributes).toMatchObject({ "aibroker.outcome": "DONE" });
  },
);

test("a failed handler's span is failed, and its traceparent is the one that the producer was in", async ({
  db: _,
  url,
}) => {
  using recorded = recordSpans();
  await using broker = await startTestBroker(url, { DEFAULT_MAX_ATTEMPTS: "1" });
  await using worker = startWorker(broker, "stream");
  await using client = createClient({ url: broker.url, token: API_TOKEN });
  const { jobId } = await trace.getTracer("a shop").startActiveSpan("an order", async (span) => {
    const dispatched = await client.dispatch("math", { latex: "1" } as never);
    span.end();
    return dispatched;
  });
  const order = await spanOf(recorded.seen, "an order");
  const sent = await spanOf(recorded.seen, "dispatch math", jobId);
  const work = await spanOf(worker.spans, "work math", jobId);
  expect(work).toMatchObject({ failed: true, traceId: order.traceId, parentId: sent.spanId });
  expect(sent.parentId).toBe(order.spanId);
  const job = await client.get(jobId);
  expect(job?.traceparent).toBe(`00-${sent.traceId}-${sent.spanId}-01`);
});

const GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/** A producer in another language: no SDK of ours, its trace in the call's metadata. */
async function dispatchWith(broker: TestBroker, headers: Record<string, string>, traceparent?: string) {
  const transport = createGrpcTransport({ baseUrl: broker.url, interceptors: [withToken(API_TOKEN)] });
  const jobs = createRpcClient(JobService, transport);
  const { results } = await jobs.dispatch({ jobs: [{ type: "ocr", payloadJson: "{}", traceparent }] }, { headers });
  const { job } = await jobs.getJob({ jobId: results[0]?.jobId ?? "" });
  return job?.job?.traceparent;
}

test("without an SDK a job takes the traceparent of its own, else of the call's metadata, else none", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url);
  expect(await dispatchWith(broker, { traceparent: GIVEN })).toBe(GIVEN);
  expect(await dispatchWith(broker, { traceparent: GIVEN }, "its own words")).toBe("its own words");
  expect(await dispatchWith(broker, { traceparent: "nonsense" })).toBeFalsy();
  expect(await dispatchWith(broker, {})).toBeFalsy();
});

test("with an SDK in the broker alone, its span stands between the call and the job", async ({ db: _, url }) => {
  using recorded = recordSpans();
  await using broker = await startTestBroker(url);
  const traceparent = await dispatchWith(broker, { traceparent: GIVEN });
  const stored = await spanOf(recorded.seen, "dispatch");
  expect(stored).toMatchObject({ traceId: GIVEN.slice(3, 35), parentId: GIVEN.slice(36, 52) });
  expect(traceparent).toBe(`00-${stored.traceId}-${stored.spanId}-01`);
});

test("many jobs go in one span, with a link for each other trace, and one that is not sampled is left alone", async ({
  db: _,
  url,
}) => {
  using recorded = recordSpans();
  await using broker = await startTestBroker(url);
  await using client = createClient({ url: broker.url, token: API_TOKEN });
  const silent = GIVEN.replace(/01$/, "00");
  await client.dispatchMany([
    { type: "ocr", payload: { image_path: "1" } },
    { type: "ocr", payload: { image_path: "2" }, traceparent: GIVEN },
    { type: "ocr", payload: { image_path: "3" }, traceparent: silent },
  ]);
  const sent = (await until("both have ended", () => recorded.seen().length >= 2 && recorded.seen())) as SeenSpan[];
  const [stored, produced] = ["SERVER", "PRODUCER"].map((kind) => sent.find((span) => span.kind === kind));
  expect(produced?.attributes).toMatchObject({ "aibroker.jobs": 3 });
  expect(stored).toMatchObject({ parentId: produced?.spanId, links: [GIVEN.slice(36, 52)] });
  await broker.worker.claim({ workerId: "w", types: ["ocr"], maxJobs: 3 });
  const claims = recorded.seen().filter(({ name }) => name === "claim ocr");
  expect(claims.map(({ parentId }) => parentId).sort()).toEqual([produced?.spanId, GIVEN.slice(36, 52)].sort());
});

test("a dispatch that is refused fails in its span, in the words of the refusal", async ({ db: _, url }) => {
  using recorded = recordSpans();
  await using broker = await startTestBroker(url);
  await using client = createClient({ url: broker.url, token: API_TOKEN });
  await client.dispatch("ocr", { image_path: "1" }, { id: "twice" });
  await expect(client.dispatch("ocr", { image_path: "2" }, { id: "twice" })).rejects.toThrow(/different|another|body/i);
  const failed = recorded.seen().filter((span) => span.failed);
  expect(failed.map(({ kind }) => kind).sort()).toEqual(["PRODUCER", "SERVER"]);
});
