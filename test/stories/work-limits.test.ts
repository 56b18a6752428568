/** What one worker, or all of them, may take of a broker: over the limit RESOURCE_EXHAUSTED, with a time to come back. */
import { Code } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { expect } from "vitest";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { startTestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { statusOf } from "../support/jobs.ts";
import { openWork } from "../support/raw-work.ts";
import { until } from "../support/until.ts";
import { dispatchAll, hearAll, openWorker, refusedHello, takeJob } from "../support/work-words.ts";

const EXHAUSTED = { code: Code.ResourceExhausted, retryMs: expect.any(Number) };

test("a stream beyond WORK_MAX_STREAMS is refused; the others go on; when one ends there is room again", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url, { WORK_MAX_STREAMS: "2" });
  await using first = await openWorker(broker);
  await using second = await openWorker(broker);
  const refusal = await refusedHello(broker, { types: ["ocr"], maxInFlight: 1 });
  expect(refusal).toMatchObject({ ...EXHAUSTED, reason: "TOO_MANY_STREAMS" });
  expect("retryMs" in refusal && refusal.retryMs).toBeGreaterThanOrEqual(500);
  expect(await db.sql`SELECT FROM ai_session`).toHaveLength(2);
  await dispatchAll(broker, ["a", "b"]);
  await Promise.all([takeJob(first), takeJob(second)]);
  first.cancel();
  await until("there is room", async () =>
    openWorker(broker).then(
      async (work) => {
        await work[Symbol.asyncDispose]();
        return true;
      },
      () => false,
    ),
  );
});

test("a worker that reconnects needs no second place, though its old stream still stands", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { WORK_MAX_STREAMS: "1" });
  await using older = await openWorker(broker);
  older.silence();
  await using newer = await openWorker(broker, { instanceId: older.instanceId });
  await dispatchAll(broker, ["a"]);
  await takeJob(newer);
});

test("no stream at all is taken where the limit is 0, and unary claims go on", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { WORK_MAX_STREAMS: "0" });
  expect(await refusedHello(broker, {})).toMatchObject({ ...EXHAUSTED, reason: "TOO_MANY_STREAMS" });
  await dispatchAll(broker, ["a"]);
  expect((await broker.worker.claim({ workerId: "w1" })).jobs).toHaveLength(1);
});

test("many that come at once get just the places that there are", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { WORK_MAX_STREAMS: "5" });
  await using streams = new AsyncDisposableStack();
  const tries = await Promise.allSettled(Array.from({ length: 20 }, () => openWorker(broker)));
  const opened = tries.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  for (const work of opened) streams.use(work);
  expect(opened).toHaveLength(5);
  for (const work of opened) await hearAll(work);
});

test("more messages in a second than WORK_MAX_FRAMES_PER_SECOND end the stream; the acked job stays, the unacked goes back", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url, { WORK_MAX_FRAMES_PER_SECOND: "50" });
  await using work = await openWorker(broker, { maxInFlight: 2 }, { acks: false });
  await dispatchAll(broker, ["a"]);
  await takeJob(work);
  work.send({ ackSeq: 1n });
  await hearAll(work);
  await dispatchAll(broker, ["b"]);
  await takeJob(work);
  for (let n = 0; n < 200; n++) work.send({ ackSeq: 1n });
  expect(await work.ended).toMatchObject({ ...EXHAUSTED, reason: "TOO_MANY_FRAMES" });
  await until("b is back", async () => (await statusOf(db, "b")) === "PENDING");
  expect(await statusOf(db, "a")).toBe("RUNNING");
});

test("as many messages in a second as are allowed end nothing, second after second", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { WORK_MAX_FRAMES_PER_SECOND: "200" });
  await using work = await openWorker(broker);
  // A burst of nearly all, then one round trip after another, for longer than a second.
  for (let n = 0; n < 150; n++) work.send({});
  const since = performance.now();
  let sent = 0;
  while (performance.now() - since < 2_000) {
    await hearAll(work);
    // Not faster than the limit, however quick this machine is.
    sent++;
    await until("it may send again", () => performance.now() - since > sent * 8);
  }
  await dispatchAll(broker, ["a"]);
  await takeJob(work);
});

test("a message that is larger than the port reads ends the stream; nothing of it is stored", async ({ db, url }) => {
  await using broker = await startTestBroker(url, {
    MAX_REQUEST_BYTES: "100000",
    MAX_RESULT_BYTES: "60000",
    MAX_PAYLOAD_BYTES: "60000",
  });
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  const job = await takeJob(work);
  await hearAll(work);
  const resultJson = JSON.stringify({ text: "x".repeat(250_000) });
  const item = {
    leaseToken: job.leaseToken,
    result: { jobId: "a", status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson },
  };
  work.send({ reports: { id: 1n, items: [item] } });
  expect(await work.ended).toMatchObject({ ...EXHAUSTED, reason: "REQUEST_TOO_LARGE" });
  expect(await statusOf(db, "a")).toBe("RUNNING");
  expect(broker.lines.filter((line) => line.includes("a fault of the broker"))).toEqual([]);
  // Its end is told as what it was.
  await until("the stream is over", () =>
    broker.lines.some((line) => line.includes("of worker raw-1 ended") && line.includes("REQUEST_TOO_LARGE")),
  );
});

test("bytes that are no message end the stream with MALFORMED_REQUEST", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker);
  const client = new grpc.Client(`127.0.0.1:${broker.port}`, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  metadata.set("x-worker-token", WORKER_TOKEN);
  const asItIs = (bytes: Buffer) => bytes;
  const call = client.makeBidiStreamRequest("/aibroker.v1.WorkerService/Work", asItIs, asItIs, metadata);
  try {
    const status = new Promise<grpc.StatusObject>((resolve) =>
      call.on("error", () => undefined).once("status", resolve),
    );
    call.resume();
    call.write(Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff]));
    const { code, metadata: trailers } = await status;
    expect([grpc.status.INTERNAL, grpc.status.INVALID_ARGUMENT]).toContain(code);
    expect(String(trailers.get("grpc-status-details-bin")[0])).toContain("MALFORMED_REQUEST");
  } finally {
    client.close();
  }
  expect(broker.lines.filter((line) => line.includes("a fault of the broker"))).toEqual([]);
  await hearAll(work);
});

test("streams that are opened and say nothing are bounded like all others", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { WORK_MAX_STREAMS: "3" });
  await using streams = new AsyncDisposableStack();
  const silent = await Promise.all(Array.from({ length: 6 }, () => openWork(broker.url)));
  for (const work of silent) streams.use(work);
  const first = await Promise.race(silent.map(({ ended }) => ended));
  expect(first).toMatchObject({ ...EXHAUSTED, reason: "TOO_MANY_STREAMS" });
});
