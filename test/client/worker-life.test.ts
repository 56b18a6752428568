/** How a worker comes, moves and goes, against brokers that do as they are told. */
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { Shutdown } from "../../src/client/index.ts";
import { CancelReason } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { until } from "../support/until.ts";
import { accepted, claimed, fakeBroker } from "./fake-broker.ts";
import { startWorker } from "./given-worker.ts";
import { Mailbox } from "./mailbox.ts";

function refusal(code: Code, reason: string, words: string, retryMs?: number): ConnectError {
  return new ConnectError(words, code, undefined, [
    { desc: ErrorInfoSchema, value: { reason, domain: "aibroker" } },
    ...(retryMs === undefined ? [] : [{ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(retryMs) } }]),
  ]);
}

describe("a refusal", () => {
  test.each([
    [Code.Unauthenticated, "BAD_TOKEN", "UNAUTHENTICATED"],
    [Code.PermissionDenied, "WRONG_ROLE", "PERMISSION_DENIED"],
    [Code.InvalidArgument, "BAD_FIELD", "INVALID_ARGUMENT"],
  ])("%s of the Hello ends the run with the broker's words", async (code, reason, name) => {
    await using broker = await fakeBroker();
    broker.refuseWork = () => refusal(code, reason, "the broker's words");
    const worker = startWorker(broker.url);
    await expect(worker.running).rejects.toMatchObject({ code: name, reason, message: "the broker's words" });
  });

  test("of a report by a token that was withdrawn ends the run, too", async () => {
    await using broker = await fakeBroker();
    const claims = [[claimed("a")]];
    broker.worker.claim = (_, { signal }) => {
      const jobs = claims.shift();
      if (jobs !== undefined) return { jobs };
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve({})));
    };
    broker.worker.report = () => {
      throw refusal(Code.Unauthenticated, "BAD_TOKEN", "withdrawn");
    };
    const worker = startWorker(broker.url, { mode: "poll" });
    (await worker.started.take()).finish({});
    await expect(worker.running).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  test("of another kind is waited out, at least as long as the broker says", async () => {
    await using broker = await fakeBroker();
    let refusedAt = 0;
    broker.refuseWork = () => {
      refusedAt = performance.now();
      broker.refuseWork = undefined;
      return refusal(Code.ResourceExhausted, "TOO_MANY_STREAMS", "full", 300);
    };
    await using _ = startWorker(broker.url);
    await broker.streams.take();
    expect(performance.now() - refusedAt).toBeGreaterThanOrEqual(299);
  });
});

test("another process with the same instance id is told of in the log, and not fought over", async () => {
  await using broker = await fakeBroker();
  await using worker = startWorker(broker.url);
  const stream = await broker.streams.take();
  stream.welcome();
  const endedAt = performance.now();
  stream.end(refusal(Code.Aborted, "SESSION_SUPERSEDED", "a newer stream", 300));
  await broker.streams.take();
  expect(performance.now() - endedAt).toBeGreaterThanOrEqual(299);
  const warning = worker.lines.find(({ level }) => level === "warn");
  expect(warning?.words).toContain("another process uses it; give each process its own instanceId");
});

describe("a broker that drains", () => {
  test("is left for the next one after its delay, with the work taken along and reports still delivered", async () => {
    await using one = await fakeBroker();
    await using two = await fakeBroker();
    await using worker = startWorker([one.url, two.url], { seats: { ocr: 2 } });
    await until("it is connected", () => one.opened + two.opened > 0);
    const [first, to] = one.opened > 0 ? [one, two] : [two, one];
    const from = await first.streams.take();
    from.welcome();
    from.push(claimed("a"), claimed("b"));
    const a = await worker.started.take();
    const b = await worker.started.take();
    const drainedAt = performance.now();
    from.say({ case: "drain", value: { reconnectAfter: durationFromMs(200), deadline: durationFromMs(5_000) } });
    a.finish({});
    expect((await from.takeReports()).map(({ leaseToken }) => leaseToken)).toEqual(["lease-a"]);
    const next = await to.streams.take();
    expect(performance.now() - drainedAt).toBeGreaterThanOrEqual(199);
    expect(next.hello?.held.map(({ jobId }) => jobId)).toEqual(["b"]);
    // The old stream is there until the new one is: what is finished meanwhile is reported on it.
    b.finish({});
    expect((await from.takeReports()).map(({ leaseToken }) => leaseToken)).toEqual(["lease-b"]);
    // A job that still comes on it is not acked, so that it goes back.
    from.push(claimed("late"));
    from.say({ case: "ping", value: { id: 1n } });
    expect(await from.received.take()).toMatchObject({ ackSeq: 1n, frame: { case: "pong" } });
    next.welcome();
    await from.over;
    next.push(claimed("c"));
    expect((await worker.started.take()).id).toBe("c");
    expect(worker.lines.filter(({ level }) => level === "warn")).toEqual([]);
  });

  test("and ends its stream at once is not hurried back to", async () => {
    await using broker = await fakeBroker();
    await using _ = startWorker(broker.url);
    const stream = await broker.streams.take();
    stream.welcome();
    const drainedAt = performance.now();
    stream.say({ case: "drain", value: { reconnectAfter: durationFromMs(250) } });
    stream.end();
    await broker.streams.take();
    expect(performance.now() - drainedAt).toBeGreaterThanOrEqual(249);
  });
});

describe("a worker that is to end", () => {
  test("says so, takes nothing more, lets handlers finish and reports before it hangs up", async () => {
    await using broker = await fakeBroker();
    await using worker = startWorker(broker.url, { seats: { ocr: 2 }, graceMs: 5_000 });
    const stream = await broker.streams.take();
    stream.hangsUp = false;
    stream.welcome();
    stream.push(claimed("a"));
    const { finish, ctx } = await worker.started.take();
    worker.stop();
    await stream.next("drain");
    stream.push(claimed("b"));
    expect((await stream.next("release")).leases.map(({ jobId }) => jobId)).toEqual(["b"]);
    expect(ctx.signal.aborted).toBe(false);
    finish({});
    expect((await stream.takeReports()).map(({ leaseToken }) => leaseToken)).toEqual(["lease-a"]);
    // The release is not answered here, but by the unary call that follows the end of the stream.
    stream.end();
    await worker.running;
  });

  test("aborts handlers after its grace: one that stops goes back, a result still counts, a stubborn one goes back", async () => {
    await using broker = await fakeBroker();
    await using worker = startWorker(broker.url, { seats: { ocr: 3 }, graceMs: 50 });
    const stream = await broker.streams.take();
    stream.hangsUp = false;
    stream.welcome();
    stream.push(claimed("obeys"), claimed("done"), claimed("stubborn"));
    const [obeys, done, stubborn] = [
      await worker.started.take(),
      await worker.started.take(),
      await worker.started.take(),
    ];
    obeys.ctx.signal.addEventListener("abort", () => obeys.fail(obeys.ctx.signal.reason));
    done.ctx.signal.addEventListener("abort", () => done.finish({ half: true }));
    worker.stop();
    expect((await stream.takeReports()).map(({ leaseToken }) => leaseToken)).toEqual(["lease-done"]);
    expect(stubborn.ctx.signal.reason).toBeInstanceOf(Shutdown);
    stubborn.finish({ too: "late" });
    stream.end();
    await worker.running;
  });

  test("gives unfinished jobs back with no report", async () => {
    await using broker = await fakeBroker();
    const released: string[] = [];
    broker.worker.release = ({ leases }) => {
      released.push(...leases.map(({ jobId }) => jobId));
      return { results: leases.map(({ jobId }) => ({ jobId, released: true })) };
    };
    broker.worker.report = () => Promise.reject(new Error("nothing is to be reported"));
    await using worker = startWorker(broker.url, { seats: { ocr: 2 }, graceMs: 0 });
    const stream = await broker.streams.take();
    stream.welcome();
    stream.push(claimed("obeys"), claimed("stubborn"));
    const obeys = await worker.started.take();
    const stubborn = await worker.started.take();
    obeys.ctx.signal.addEventListener("abort", () => obeys.fail(obeys.ctx.signal.reason));
    worker.stop();
    await worker.running;
    expect(released.sort()).toEqual(["obeys", "stubborn"]);
    stubborn.finish({ too: "late" });
  });

  test("with nothing to tell ends at once, though no broker is there", async () => {
    const broker = await fakeBroker();
    await using worker = startWorker(broker.url);
    await broker.streams.take();
    await broker.stop();
    worker.stop();
    await worker.running;
    expect(worker.lines.some(({ level }) => level === "error")).toBe(false);
  });
});

test("a broker that restarts on its port is found again, and what was finished meanwhile is reported", async () => {
  const before = await fakeBroker();
  await using worker = startWorker(before.url);
  const stream = await before.streams.take();
  stream.welcome();
  stream.push(claimed("a"));
  const { finish } = await worker.started.take();
  await before.stop();
  finish({});
  await until("it has noticed", () => worker.lines.some(({ level }) => level === "warn"));
  await using after = await fakeBroker(Number(new URL(before.url).port));
  const again = await after.streams.take();
  expect(again.hello?.held.map(({ jobId }) => jobId)).toEqual(["a"]);
  again.welcome();
  expect((await again.takeReports()).map(({ leaseToken }) => leaseToken)).toEqual(["lease-a"]);
  await until("it has heard so", () => worker.lines.some(({ words }) => words === "report answered: stored"));
});

describe("heartbeats", () => {
  test("are sent for every lease until its report is answered", async () => {
    await using broker = await fakeBroker();
    await using worker = startWorker(broker.url, { seats: { ocr: 2 } });
    const stream = await broker.streams.take();
    stream.welcome({ heartbeatInterval: durationFromMs(40) });
    stream.push(claimed("a"), claimed("b"));
    const a = await worker.started.take();
    expect((await broker.heartbeats.take()).sort()).toEqual(["lease-a", "lease-b"]);
    a.finish({});
    const reports = await stream.next("reports");
    await broker.heartbeats.take();
    expect((await broker.heartbeats.take()).sort()).toEqual(["lease-a", "lease-b"]);
    stream.say({ case: "reportAck", value: { id: reports.id, results: accepted(reports.items) } });
    await until("a's lease is let go", async () => (await broker.heartbeats.take()).join() === "lease-b");
  });

  test("by hand, on the spot, have the verdict", async () => {
    await using broker = await fakeBroker();
    await using worker = startWorker(broker.url, { seats: { ocr: 2 } });
    const stream = await broker.streams.take();
    stream.welcome();
    stream.push(claimed("a"));
    const { ctx } = await worker.started.take();
    expect(await ctx.heartbeat()).toBe("CONTINUE");
    broker.worker.heartbeat = ({ leases }) => ({ leases: leases.map(({ jobId }) => ({ jobId, verdict: 2 })) });
    expect(await ctx.heartbeat()).toBe("CANCEL");
    expect(ctx.signal.aborted).toBe(true);
    broker.worker.heartbeat = ({ leases }) => ({ leases: leases.map(({ jobId }) => ({ jobId, verdict: 3 })) });
    expect(await ctx.heartbeat()).toBe("LOST");
  });

  test("bring progress along within a second", async () => {
    await using broker = await fakeBroker();
    const seen = new Mailbox<unknown>();
    broker.worker.heartbeat = ({ leases }) => {
      for (const { progress } of leases) seen.put(progress);
      return { leases: leases.map(({ jobId }) => ({ jobId, verdict: 1 })) };
    };
    await using worker = startWorker(broker.url);
    const stream = await broker.streams.take();
    stream.welcome();
    stream.push(claimed("a"));
    const { ctx } = await worker.started.take();
    ctx.progress(120.4, "page\0 1");
    expect(await seen.take()).toMatchObject({ percent: 100, note: "page\u{fffd} 1" });
  });

  test("that come back LOST abort the handler, and its result is dropped", async () => {
    await using broker = await fakeBroker();
    broker.worker.heartbeat = ({ leases }) => ({ leases: leases.map(({ jobId }) => ({ jobId, verdict: 3 })) });
    await using worker = startWorker(broker.url, { seats: { ocr: 1 } });
    const stream = await broker.streams.take();
    stream.welcome({ heartbeatInterval: durationFromMs(30) });
    stream.push(claimed("a"));
    const { ctx, finish } = await worker.started.take();
    await until("it is told", () => ctx.signal.aborted);
    finish({});
    stream.say({ case: "cancel", value: { jobId: "a", leaseToken: "lease-a", reason: CancelReason.LOST } });
    await until("its seat is offered again", async () => (await stream.next("capacity")).maxInFlight === 1);
    expect(stream.received.waiting.filter(({ frame }) => frame.case === "reports")).toEqual([]);
  });
});
