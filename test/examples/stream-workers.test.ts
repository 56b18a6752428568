/** The workers of examples/ that speak the Work stream, each through what can happen to one. */
import { describe, expect } from "vitest";
import { type Job, JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import type { Running } from "../cli/run-cli.ts";
import { API_TOKEN, startTestBroker, type TestBroker } from "../support/broker.ts";
import { startRelay } from "../support/raw-work.ts";
import { until } from "../support/until.ts";
import { runExample, STREAM_WORKERS, test } from "./programs.ts";

interface Payload {
  image_path?: string;
  seconds?: number;
}

/** A process has to start first, on a machine that runs other tests as well. */
const PATIENCE_MS = 30_000;
const ONCE = { attemptCount: 1, deliveries: 1 };

describe.each(STREAM_WORKERS)("a job of %s", { timeout: 60_000 }, (file) => {
  test("comes from the producer, and both say so", async ({ db: _, url, node, startWorker }) => {
    await using broker = await startTestBroker(url);
    const worker = startWorker(file, broker.url);
    const env = { BROKER_URL: broker.url, BROKER_TOKEN: API_TOKEN };
    const producer = await runExample(node, "producer-node/producer.ts", env).done;
    expect(producer).toMatchObject({ code: 0, stderr: "" });
    expect(producer.stdout).toMatch(/ is done: .*what stands on examples\/sheets\/english\.png/);
    const [, jobId] = /^(\S+) is done/.exec(producer.stdout) ?? [];
    expect(worker.stdout()).toContain(`${jobId}: attempt 1\n`);
  });

  test("is not to be had with a wrong token: the worker ends with the broker's words", async ({ url, startWorker }) => {
    await using broker = await startTestBroker(url);
    const worker = await startWorker(file, broker.url, { BROKER_TOKEN: "wrong" }).done;
    expect(worker).toMatchObject({ code: 1, stderr: expect.stringContaining("the token is not known") });
  });

  test("takes longer than its lease, which heartbeats keep", async ({ db: _, url, startWorker }) => {
    await using broker = await startTestBroker(url, { LEASE_TTL_MS: "4000" });
    startWorker(file, broker.url);
    await dispatch(broker, "long", { seconds: 6 });
    expect(await done(broker, "long")).toEqual(ONCE);
  });

  test("stops when it is cancelled", async ({ db: _, url, startWorker }) => {
    await using broker = await startTestBroker(url);
    startWorker(file, broker.url);
    await dispatch(broker, "unwanted", { seconds: 600 });
    await untilRunning(broker, "unwanted");
    await broker.jobs.cancelJobs({ jobIds: ["unwanted"] });
    // Long before CANCEL_GRACE_MS, when the broker would end it by itself.
    await until("it is cancelled", async () => (await jobOf(broker, "unwanted")).status === JobStatus.CANCELLED);
  });

  test("that is under way at SIGTERM is finished, and no other begun", async ({ db: _, url, startWorker }) => {
    await using broker = await startTestBroker(url);
    const worker = startWorker(file, broker.url, { CONCURRENCY: "1" });
    await dispatch(broker, "begun", { seconds: 1 });
    await untilRunning(broker, "begun");
    await dispatch(broker, "late");
    worker.child.kill("SIGTERM");
    const { code, stdout } = await worker.done;
    expect({ code, begun: stdout.match(/^\S+(?=: attempt)/gm) }).toEqual({ code: 0, begun: ["begun"] });
    expect(await done(broker, "begun")).toEqual(ONCE);
    expect((await jobOf(broker, "late")).status).toBe(JobStatus.PENDING);
  });
});

describe.each(STREAM_WORKERS)("a stream of %s", { timeout: 60_000 }, (file) => {
  test("breaks, and the next one brings the leases along", async ({ db: _, url, startWorker }) => {
    await using broker = await startTestBroker(url);
    const relay = await startRelay(broker.url);
    const worker = startWorker(file, relay.url);
    await dispatch(broker, "held", { seconds: 2 });
    await untilBegun(worker, "held");
    relay.destroy();
    expect(await done(broker, "held")).toMatchObject({ attemptCount: 1 });
    await relay.close();
  });

  test("falls silent, is found out, and the next one brings the leases along", async ({ db: _, url, startWorker }) => {
    await using broker = await startTestBroker(url, { WORK_PING_MS: "200", WORK_SILENCE_MS: "1000" });
    const relay = await startRelay(broker.url);
    const worker = startWorker(file, relay.url);
    await dispatch(broker, "held", { seconds: 2 });
    await untilBegun(worker, "held");
    relay.silence();
    expect(await done(broker, "held")).toMatchObject({ attemptCount: 1 });
    await relay.close();
  });

  test("moves to the next broker when its own leaves", async ({ db: _, url, startWorker }) => {
    await using leaving = await startTestBroker(url);
    await using staying = await startTestBroker(url);
    const worker = startWorker(file, `${leaving.url},${staying.url}`);
    await dispatch(leaving, "held", { seconds: 2 });
    await untilBegun(worker, "held");
    await leaving.stop();
    expect(await done(staying, "held")).toMatchObject({ attemptCount: 1 });
    await dispatch(staying, "next");
    expect(await done(staying, "next")).toEqual(ONCE);
  });
});

async function dispatch(broker: TestBroker, id: string, payload: Payload = {}): Promise<void> {
  await broker.jobs.dispatch({ jobs: [{ id, type: "ocr", payloadJson: JSON.stringify(payload) }] });
}

async function jobOf(broker: TestBroker, jobId: string): Promise<Job> {
  const { job } = await broker.jobs.getJob({ jobId });
  if (job === undefined) throw new Error(`no job ${jobId}`);
  return job;
}

async function untilRunning(broker: TestBroker, jobId: string): Promise<void> {
  await until(`${jobId} runs`, async () => (await jobOf(broker, jobId)).status === JobStatus.RUNNING, PATIENCE_MS);
}

async function untilBegun(worker: Running, jobId: string): Promise<void> {
  await until(`${jobId} has begun`, () => worker.stdout().includes(`${jobId}: attempt `), PATIENCE_MS);
}

/** Waits for its end and answers how it came about. */
async function done(broker: TestBroker, jobId: string) {
  const ended = async () => {
    const { status, attemptCount, deliveries } = await jobOf(broker, jobId);
    return status === JobStatus.DONE && { attemptCount, deliveries };
  };
  return await until(`${jobId} is done`, ended, PATIENCE_MS);
}
