/** A worker that asks for its jobs, by choice or because streams break, against a broker that does as it is told. */
import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { LeaseLost } from "../../src/client/index.ts";
import {
  type ClaimRequest,
  ClaimResponseSchema,
  type ReportItem,
} from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { until } from "../support/until.ts";
import { accepted, type ClaimedInit, claimed, type FakeBroker, fakeBroker } from "./fake-broker.ts";
import { startWorker } from "./given-worker.ts";
import { Mailbox } from "./mailbox.ts";

interface Claim {
  request: ClaimRequest;
  answer(...jobs: ClaimedInit[]): void;
  fail(error: Error): void;
  /** Aborted when the caller has left. */
  signal: AbortSignal;
}

/** The claims and reports that come, for the test to answer. */
function listen(broker: FakeBroker) {
  const claims = new Mailbox<Claim>();
  const reports = new Mailbox<ReportItem>();
  broker.worker.claim = (request, { signal }) =>
    new Promise((resolve, reject) => {
      const answer = (...jobs: ClaimedInit[]) => resolve(create(ClaimResponseSchema, { jobs }));
      signal.addEventListener("abort", () => answer(), { once: true });
      claims.put({ request, answer, fail: reject, signal });
    });
  broker.worker.report = ({ items }) => {
    for (const item of items) reports.put(item);
    return { results: accepted(items) };
  };
  return { claims, reports };
}

describe("by choice", () => {
  test("jobs are claimed with a wait, worked on and reported by calls, and no stream is opened", async () => {
    await using broker = await fakeBroker();
    const { claims, reports } = listen(broker);
    await using worker = startWorker(broker.url, { mode: "poll", workerId: "w1", seats: { ocr: 2 } });
    const { request, answer } = await claims.take();
    expect(request).toMatchObject({ workerId: "w1", types: ["ocr"], maxJobs: 2 });
    expect(request.requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(durationMs(request.wait!)).toBe(25_000);
    answer(claimed("a"));
    expect((await claims.take()).request).toMatchObject({ maxJobs: 1 });
    (await worker.started.take()).finish({ text: "read" });
    expect(await reports.take()).toMatchObject({ leaseToken: "lease-a", result: { resultJson: '{"text":"read"}' } });
    expect(broker.opened).toBe(0);
  });

  test("no more is claimed than any mix of types would find seats for, and a freed seat is asked for at once", async () => {
    await using broker = await fakeBroker();
    const { claims } = listen(broker);
    await using worker = startWorker(broker.url, { mode: "poll", seats: { ocr: 3, embedding: 1 } });
    const first = await claims.take();
    expect(first.request).toMatchObject({ types: ["ocr", "embedding"], maxJobs: 1 });
    first.answer(claimed("e", {}, { type: "embedding" }));
    const second = await claims.take();
    expect(second.request).toMatchObject({ types: ["ocr"], maxJobs: 3 });
    const e = await worker.started.take();
    e.finish({});
    const third = await claims.take();
    expect(second.signal.aborted).toBe(true);
    expect(third.request).toMatchObject({ types: ["ocr", "embedding"], requestId: second.request.requestId });
    third.answer();
    expect((await claims.take()).request.requestId).not.toBe(third.request.requestId);
  });

  test("with all seats taken nothing is claimed", async () => {
    await using broker = await fakeBroker();
    const { claims } = listen(broker);
    await using worker = startWorker(broker.url, { mode: "poll" });
    (await claims.take()).answer(claimed("a"));
    const { finish } = await worker.started.take();
    expect(claims.waiting).toEqual([]);
    finish({});
    expect((await claims.take()).request.maxJobs).toBe(1);
  });

  test("a claim whose answer was lost is repeated with its id, and a lease that comes twice is worked on once", async () => {
    await using broker = await fakeBroker();
    const { claims } = listen(broker);
    await using worker = startWorker(broker.url, { mode: "poll", seats: { ocr: 2 } });
    const lost = await claims.take();
    lost.fail(new ConnectError("cut off", Code.Unavailable));
    const again = await claims.take();
    expect(again.request.requestId).toBe(lost.request.requestId);
    again.answer(claimed("a"));
    (await claims.take()).answer(claimed("a"), claimed("b"));
    expect([(await worker.started.take()).id, (await worker.started.take()).id]).toEqual(["a", "b"]);
  });

  test("leases are kept by heartbeats, and a lost one aborts its handler", async () => {
    await using broker = await fakeBroker();
    const { claims } = listen(broker);
    await using worker = startWorker(broker.url, { mode: "poll" });
    broker.worker.heartbeat = ({ leases }) => ({ leases: leases.map(({ jobId }) => ({ jobId, verdict: 3 })) });
    (await claims.take()).answer(claimed("a", {}, { leaseTtlMs: 90 }));
    const { ctx } = await worker.started.take();
    await until("it is told", () => ctx.signal.aborted);
    expect(ctx.signal.reason).toBeInstanceOf(LeaseLost);
  });

  test("a result that the broker cannot read is reported as failed for good, and others with it are delivered", async () => {
    await using broker = await fakeBroker();
    const { claims, reports } = listen(broker);
    const take = broker.worker.report;
    broker.worker.report = (request, context) => {
      const at = request.items.findIndex(({ result }) => result?.resultJson.includes("bad"));
      if (at < 0) return take(request, context);
      const info = { reason: "BAD_FIELD", domain: "aibroker", metadata: { field: `items[${at}].result.result_json` } };
      throw new ConnectError("result_json: no", Code.InvalidArgument, undefined, [
        { desc: ErrorInfoSchema, value: info },
      ]);
    };
    await using worker = startWorker(broker.url, { mode: "poll", seats: { ocr: 3 } });
    (await claims.take()).answer(claimed("a"), claimed("b"), claimed("c"));
    for (const text of ["good", "bad", "good"]) (await worker.started.take()).finish({ text });
    const seen = [await reports.take(), await reports.take(), await reports.take()];
    expect(seen.map(({ leaseToken }) => leaseToken).sort()).toEqual(["lease-a", "lease-b", "lease-c"]);
    expect(seen.find(({ leaseToken }) => leaseToken === "lease-b")).toMatchObject({
      retryable: false,
      result: { error: "the broker refused the result: result_json: no" },
    });
  });

  test("to end, it claims no more, finishes and reports", async () => {
    await using broker = await fakeBroker();
    const { claims, reports } = listen(broker);
    await using worker = startWorker(broker.url, { mode: "poll", seats: { ocr: 2 }, graceMs: 5_000 });
    (await claims.take()).answer(claimed("a"));
    const waiting = await claims.take();
    const { finish } = await worker.started.take();
    worker.stop();
    await until("the claim is left", () => waiting.signal.aborted);
    finish({});
    expect((await reports.take()).leaseToken).toBe("lease-a");
    await worker.running;
    expect(claims.waiting).toEqual([]);
  });
});

describe("because streams break", () => {
  test("after three that end as they begin, jobs come by polls, those at work go along, and no handler notices", async () => {
    await using broker = await fakeBroker();
    const { claims, reports } = listen(broker);
    await using worker = startWorker(broker.url, { seats: { ocr: 2 } });
    const stream = await broker.streams.take();
    stream.welcome();
    stream.push(claimed("a"));
    const { ctx, finish } = await worker.started.take();
    broker.breakWork = true;
    stream.end();
    const claim = await claims.take();
    expect(broker.opened).toBe(3);
    claim.answer(claimed("b"));
    finish({ text: "a" });
    (await worker.started.take()).finish({ text: "b" });
    const tokens = [(await reports.take()).leaseToken, (await reports.take()).leaseToken];
    expect(tokens.sort()).toEqual(["lease-a", "lease-b"]);
    expect(ctx.signal.aborted).toBe(false);
  });

  test("as they do with a broker that knows none", async () => {
    await using broker = await fakeBroker();
    const { claims } = listen(broker);
    broker.refuseWork = () => new ConnectError("no such method", Code.Unimplemented);
    await using _ = startWorker(broker.url);
    expect((await claims.take()).request.types).toEqual(["ocr"]);
    expect(broker.opened).toBe(3);
  });

  test("but not when the broker itself says why, or when it wants no polls", async () => {
    await using broker = await fakeBroker();
    const { claims } = listen(broker);
    const details = [{ desc: ErrorInfoSchema, value: { reason: "SHUTTING_DOWN", domain: "aibroker" } }];
    broker.refuseWork = () => new ConnectError("later", Code.Unavailable, undefined, details);
    await using _ = startWorker(broker.url);
    await using streaming = await fakeBroker();
    const { claims: others } = listen(streaming);
    streaming.breakWork = true;
    await using __ = startWorker(streaming.url, { mode: "stream" });
    await until("both have been tried five times", () => broker.opened >= 5 && streaming.opened >= 5, 15_000);
    expect([claims.waiting, others.waiting]).toEqual([[], []]);
  });

  test("and not when no broker is there at all", async () => {
    const before = await fakeBroker();
    await before.stop();
    await using worker = startWorker(before.url);
    const lost = () => worker.lines.filter(({ words }) => words.startsWith("the stream to the broker is gone"));
    await until("it has tried four times", () => lost().length >= 4);
    await using after = await fakeBroker(Number(new URL(before.url).port));
    const { claims } = listen(after);
    const stream = await after.streams.take();
    stream.welcome();
    stream.push(claimed("a"));
    (await worker.started.take()).finish({});
    await stream.takeReports();
    await until("it has heard so", () => worker.lines.some(({ words }) => words.startsWith("report answered")));
    expect(claims.waiting).toEqual([]);
  });
});
