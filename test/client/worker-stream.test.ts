/** What a worker does on its stream, against a broker that does as it is told. */
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { Cancelled, Fatal, LeaseLost, RetryIn } from "../../src/client/index.ts";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { CancelReason, LeaseVerdict, ReportStatus } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { until } from "../support/until.ts";
import { accepted, claimed, fakeBroker } from "./fake-broker.ts";
import { startWorker } from "./given-worker.ts";

test.for(["grpc-js", "connect"] as const)("a job is acked, worked on and reported over %s", async (transport) => {
  await using broker = await fakeBroker();
  await using worker = startWorker(broker.url, { transport, seats: { ocr: 4, embedding: 2 }, workerId: "w1" });
  const stream = await broker.streams.take();
  expect(stream.hello).toMatchObject({
    workerId: "w1",
    instanceId: worker.instanceId,
    types: ["ocr", "embedding"],
    maxInFlight: 6,
    maxByType: { ocr: 4, embedding: 2 },
    held: [],
    client: expect.stringMatching(/^ai-job-broker-node\/\d/),
  });
  stream.welcome();
  stream.push(claimed("a"));
  expect((await stream.next("ack")).ackSeq).toBe(1n);
  const { id, ctx, finish } = await worker.started.take();
  expect([id, ctx.attempt, ctx.maxAttempts, ctx.job.type]).toEqual(["a", 1, 5, "ocr"]);
  finish({ text: "read" });
  const [item] = await stream.takeReports();
  expect(item).toMatchObject({
    leaseToken: "lease-a",
    result: { jobId: "a", status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson: '{"text":"read"}' },
  });
});

test("what a handler throws is reported in its kind", async () => {
  await using broker = await fakeBroker();
  await using worker = startWorker(broker.url, { seats: { ocr: 3 } });
  const stream = await broker.streams.take();
  stream.welcome();
  stream.push(claimed("a"), claimed("b"), claimed("c"));
  for (const error of [new Error("broken"), new Fatal("hopeless"), new RetryIn(1_500, "busy")]) {
    (await worker.started.take()).fail(error);
  }
  const { items } = await stream.next("reports");
  expect(items).toMatchObject([
    { result: { jobId: "a", status: AIResultStatus.AI_RESULT_STATUS_FAILED, error: "broken" }, retryable: true },
    { result: { jobId: "b", error: "hopeless" }, retryable: false },
    { result: { jobId: "c", error: "busy" }, retryable: true, retryDelay: durationFromMs(1_500) },
  ]);
});

test("a ping is answered with its id", async () => {
  await using broker = await fakeBroker();
  await using _ = startWorker(broker.url);
  const stream = await broker.streams.take();
  stream.welcome();
  stream.say({ case: "ping", value: { id: 42n } });
  expect((await stream.next("pong")).id).toBe(42n);
});

test("a broker that falls silent is pinged, then left for another stream with the leases taken along", async () => {
  await using broker = await fakeBroker();
  await using worker = startWorker(broker.url);
  const stream = await broker.streams.take();
  stream.welcome({ pingInterval: durationFromMs(30), silenceTimeout: durationFromMs(100) });
  stream.push(claimed("a"));
  await worker.started.take();
  await stream.next("ping");
  const next = await broker.streams.take();
  expect(next.hello?.held).toMatchObject([{ jobId: "a", leaseToken: "lease-a" }]);
  await stream.over;
});

describe("seats", () => {
  test("jobs beyond them are given back, and so are those of a type that nobody asked for", async () => {
    await using broker = await fakeBroker();
    await using worker = startWorker(broker.url, { seats: { ocr: 2, embedding: 1 } });
    const stream = await broker.streams.take();
    stream.welcome();
    const embedding = (id: string) => claimed(id, {}, { type: "embedding" });
    stream.push(claimed("a"), embedding("b"), embedding("c"), claimed("d", {}, { type: "unheard-of" }));
    const { leases } = await stream.next("release");
    expect(leases.map(({ jobId }) => jobId)).toEqual(["c", "d"]);
    expect([(await worker.started.take()).id, (await worker.started.take()).id]).toEqual(["a", "b"]);
    expect(worker.started.waiting).toEqual([]);
  });

  test("a job that comes twice is worked on once", async () => {
    await using broker = await fakeBroker();
    await using worker = startWorker(broker.url, { seats: { ocr: 2 } });
    const stream = await broker.streams.take();
    stream.welcome();
    stream.push(claimed("a"));
    stream.push(claimed("a"), claimed("b"));
    expect([(await worker.started.take()).id, (await worker.started.take()).id]).toEqual(["a", "b"]);
  });

  test("a handler whose lease is lost keeps its seat from the broker until it ends", async () => {
    await using broker = await fakeBroker();
    await using worker = startWorker(broker.url, { seats: { ocr: 2 } });
    const stream = await broker.streams.take();
    stream.welcome();
    stream.push(claimed("a"));
    const lost = await worker.started.take();
    stream.say({ case: "cancel", value: { jobId: "a", leaseToken: "lease-a", reason: CancelReason.LOST } });
    expect(await stream.next("capacity")).toMatchObject({ maxInFlight: 1, maxByType: { ocr: 1 } });
    expect(lost.ctx.signal.reason).toBeInstanceOf(LeaseLost);
    lost.finish({ text: "late" });
    expect(await stream.next("capacity")).toMatchObject({ maxInFlight: 2, maxByType: { ocr: 2 } });
    // Its report would come before the next one's.
    stream.push(claimed("b"));
    (await worker.started.take()).finish({});
    const { items } = await stream.next("reports");
    expect(items.map(({ leaseToken }) => leaseToken)).toEqual(["lease-b"]);
  });
});

test("a cancelled job's signal says so, and whatever comes of it is reported", async () => {
  await using broker = await fakeBroker();
  await using worker = startWorker(broker.url);
  const stream = await broker.streams.take();
  stream.welcome();
  stream.push(claimed("a"));
  const { ctx, fail } = await worker.started.take();
  ctx.signal.addEventListener("abort", () => fail(ctx.signal.reason));
  stream.say({ case: "cancel", value: { jobId: "a", leaseToken: "lease-a", reason: CancelReason.CANCELLED } });
  const [item] = await stream.takeReports();
  expect(ctx.signal.reason).toBeInstanceOf(Cancelled);
  expect(item?.result).toMatchObject({ error: "the job is to be cancelled" });
});

describe("a stream that ends", () => {
  test("is opened again with the same instance, naming what is held: running, and reported without an answer", async () => {
    await using broker = await fakeBroker();
    await using worker = startWorker(broker.url, { seats: { ocr: 3 } });
    const first = await broker.streams.take();
    first.welcome();
    first.push(claimed("a"), claimed("b"), claimed("c"));
    (await worker.started.take()).finish({ text: "a" });
    const running = await worker.started.take();
    const lost = await worker.started.take();
    await first.next("reports");
    first.end();
    const second = await broker.streams.take();
    expect(second.hello?.instanceId).toBe(first.hello?.instanceId);
    expect(second.hello?.held.map(({ jobId }) => jobId).sort()).toEqual(["a", "b", "c"]);
    const held = second.hello?.held.map(({ jobId }) => ({
      jobId,
      verdict: jobId === "c" ? LeaseVerdict.LOST : LeaseVerdict.CONTINUE,
    }));
    second.welcome({ held });
    const again = await second.next("reports");
    expect(again.items.map(({ leaseToken }) => leaseToken)).toEqual(["lease-a"]);
    const duplicate = { jobId: "a", status: ReportStatus.DUPLICATE, message: "told before" };
    second.say({ case: "reportAck", value: { id: again.id, results: [duplicate] } });
    expect(lost.ctx.signal.reason).toBeInstanceOf(LeaseLost);
    lost.finish({});
    running.finish({ text: "b" });
    expect((await second.takeReports()).map(({ leaseToken }) => leaseToken)).toEqual(["lease-b"]);
    second.end();
    expect((await broker.streams.take()).hello?.held).toEqual([]);
  });

  test("before a report was answered: a verdict LOST does not stop the report, whose answer tells", async () => {
    await using broker = await fakeBroker();
    await using worker = startWorker(broker.url);
    const first = await broker.streams.take();
    first.welcome();
    first.push(claimed("a"));
    (await worker.started.take()).finish({});
    await first.next("reports");
    first.end();
    const second = await broker.streams.take();
    second.welcome({ held: [{ jobId: "a", verdict: LeaseVerdict.LOST }] });
    expect((await second.takeReports()).map(({ leaseToken }) => leaseToken)).toEqual(["lease-a"]);
  });

  test("reports go by unary calls when no stream comes back", async () => {
    await using broker = await fakeBroker();
    const reported = Promise.withResolvers<string[]>();
    broker.worker.report = ({ items }) => {
      reported.resolve(items.map(({ leaseToken }) => leaseToken));
      return { results: accepted(items) };
    };
    await using worker = startWorker(broker.url);
    const first = await broker.streams.take();
    first.welcome();
    first.push(claimed("a"));
    const { finish } = await worker.started.take();
    // The next stream is never welcomed.
    first.end();
    finish({});
    expect(await reported.promise).toEqual(["lease-a"]);
  });

  test("takes jobs back that were never acked: they are neither begun nor named", async () => {
    await using broker = await fakeBroker();
    await using worker = startWorker(broker.url, { seats: { ocr: 2 } });
    const first = await broker.streams.take();
    // So few messages that the second ack has to wait, which it does for longer than the stream lives.
    first.welcome({ maxFramesPerSecond: 2 });
    first.push(claimed("a"));
    await worker.started.take();
    first.push(claimed("b"));
    first.end();
    const second = await broker.streams.take();
    expect(second.hello?.held.map(({ jobId }) => jobId)).toEqual(["a"]);
    expect(worker.started.waiting).toEqual([]);
  });
});

test("a report that ends the stream is found among others, and reported as failed; one that the network ended is not", async () => {
  await using broker = await fakeBroker();
  await using worker = startWorker(broker.url, { seats: { ocr: 2 } });
  const first = await broker.streams.take();
  first.welcome();
  first.push(claimed("a"), claimed("b"));
  (await worker.started.take()).finish({ text: "good" });
  (await worker.started.take()).finish({ text: "bad" });
  await first.next("reports");
  first.end(new ConnectError("broken on the way", Code.InvalidArgument));
  const second = await broker.streams.take();
  second.welcome();
  expect((await second.next("reports")).items).toHaveLength(2);
  const info = { reason: "BAD_FIELD", domain: "aibroker", metadata: { field: "reports.items[1].result.result_json" } };
  const bad = () =>
    new ConnectError("it is bad", Code.InvalidArgument, undefined, [{ desc: ErrorInfoSchema, value: info }]);
  second.end(bad());
  // Each goes by itself now.
  const third = await broker.streams.take();
  third.welcome();
  expect((await third.takeReports()).map(({ leaseToken }) => leaseToken)).toEqual(["lease-a"]);
  expect((await third.next("reports")).items.map(({ leaseToken }) => leaseToken)).toEqual(["lease-b"]);
  third.end(bad());
  const fourth = await broker.streams.take();
  fourth.welcome();
  const [item] = await fourth.takeReports();
  const error = "the broker refused the result: it is bad";
  expect(item).toMatchObject({ leaseToken: "lease-b", retryable: false, result: { error } });
});

test("a report that the database was away for goes again when the broker says", async () => {
  await using broker = await fakeBroker();
  await using worker = startWorker(broker.url);
  const stream = await broker.streams.take();
  stream.welcome();
  stream.push(claimed("a"));
  (await worker.started.take()).finish({});
  const first = await stream.next("reports");
  stream.say({ case: "reportAck", value: { id: first.id, retryAfter: durationFromMs(20) } });
  const again = await stream.next("reports");
  expect(again.items).toEqual(first.items);
  expect(again.id).not.toBe(first.id);
});

test("a result above the broker's limit is reported as failed for good, with the limit's name", async () => {
  await using broker = await fakeBroker();
  await using worker = startWorker(broker.url);
  const stream = await broker.streams.take();
  stream.welcome({ maxResultBytes: 50n });
  stream.push(claimed("a"));
  (await worker.started.take()).finish({ text: "x".repeat(100) });
  const [item] = await stream.takeReports();
  expect(item).toMatchObject({ retryable: false, result: { error: expect.stringContaining("MAX_RESULT_BYTES") } });
});

test("more messages than the broker takes are never sent", async () => {
  await using broker = await fakeBroker();
  await using worker = startWorker(broker.url, { seats: { ocr: 100 } });
  const stream = await broker.streams.take();
  stream.welcome({ maxFramesPerSecond: 50 });
  for (let count = 0; count < 100; count += 1) stream.push(claimed(`j${count}`));
  const since = performance.now();
  for (let count = 0; count < 100; count += 1) (await worker.started.take()).finish({});
  const counted: string[] = [];
  await until("all are reported", () => {
    for (const { frame } of stream.received.waiting.slice(counted.length)) counted.push(frame.case ?? "ack");
    const items = stream.received.waiting.flatMap(({ frame }) => (frame.case === "reports" ? frame.value.items : []));
    return items.length >= 100;
  });
  const seconds = (performance.now() - since) / 1_000;
  expect(counted.length).toBeLessThanOrEqual(50 * (1 + seconds));
});
