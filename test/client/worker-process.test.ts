/** Workers in processes of their own, and a real broker: what becomes of a worker that is blocked, or told to end. */
import { expect, vi } from "vitest";
import { createClient } from "../../src/client/index.ts";
import { API_TOKEN, startTestBroker, type TestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { becomes } from "./becomes.ts";
import { startWorkerChild } from "./worker-child.ts";

// Processes take their time where many tests run at once.
const TIMEOUT_MS = 60_000;
vi.setConfig({ testTimeout: TIMEOUT_MS });

const clientOf = (broker: TestBroker) => createClient({ url: broker.url, token: API_TOKEN });
const start = (settings: object) => startWorkerChild({ token: WORKER_TOKEN, ...settings });

test.for(["stream", "poll"] as const)(
  "a worker whose handler holds the event loop for three times the ttl keeps its lease, by %s",
  async (mode, { db: _, url }) => {
    await using broker = await startTestBroker(url, { LEASE_TTL_MS: "1500" });
    await using client = clientOf(broker);
    await using worker = start({ url: broker.url, mode });
    const { jobId } = await client.dispatch("block", { ms: 4_500 });
    const job = await becomes(client, jobId, "DONE", TIMEOUT_MS);
    expect(job).toMatchObject({ attempts: 1, result: { blocked: 4_500 } });
    worker.kill("SIGTERM");
    expect(await worker.ended).toMatchObject({ code: 0, stderr: "", stdout: "blocking\nending\nended\n" });
  },
);

test("a worker that stands still for longer than maxBlockMs lets its lease go", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { LEASE_TTL_MS: "500" });
  await using client = clientOf(broker);
  await using worker = start({ url: broker.url, maxBlockMs: 200 });
  const { jobId } = await client.dispatch("block", { ms: 4_000 }, { maxAttempts: 1 });
  const job = await becomes(client, jobId, "FAILED");
  expect(job.lastError).toBe("max_attempts_exceeded");
  worker.kill("SIGTERM");
  expect(await worker.ended).toMatchObject({ code: 0 });
});

test.for(["grpc-js", "connect"] as const)(
  "a worker whose handler holds the event loop has acked its job before, over %s",
  async (transport, { db: _, url }) => {
    await using broker = await startTestBroker(url, { WORK_SILENCE_MS: "600", WORK_PING_MS: "200" });
    await using client = clientOf(broker);
    await using worker = start({ url: broker.url, transport });
    // The broker takes the worker for gone meanwhile. What was not acked would go back, and to whoever asks for it.
    const { jobId } = await client.dispatch("block", { ms: 2_500 });
    const job = await becomes(client, jobId, "DONE", TIMEOUT_MS);
    expect(job.attempts).toBe(1);
    expect(broker.lines.some((line) => line.includes("WORKER_SILENT"))).toBe(true);
    worker.kill("SIGTERM");
    expect(await worker.ended).toMatchObject({ stdout: "blocking\nending\nended\n" });
  },
);

test("a worker at SIGTERM finishes what it has within its grace time, and takes nothing more", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await using client = clientOf(broker);
  await using worker = start({ url: broker.url, graceMs: 20_000 });
  const { jobId } = await client.dispatch("wait", {});
  await worker.saw(`started ${jobId}`);
  worker.kill("SIGTERM");
  await worker.saw("ending");
  const { jobId: other } = await client.dispatch("wait", {});
  worker.finish();
  expect(await worker.ended).toMatchObject({ code: 0, stderr: "", stdout: `started ${jobId}\nending\nended\n` });
  expect((await client.get(jobId))?.status).toBe("DONE");
  expect((await client.get(other))?.status).toBe("PENDING");
});

test("a worker at SIGTERM gives back what it cannot finish, with no attempt spent", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using client = clientOf(broker);
  await using worker = start({ url: broker.url, graceMs: 50 });
  const { jobId } = await client.dispatch("wait", {});
  await worker.saw(`started ${jobId}`);
  worker.kill("SIGTERM");
  expect(await worker.ended).toMatchObject({ code: 0, stderr: "" });
  expect(await client.get(jobId)).toMatchObject({ status: "PENDING", attempts: 0 });
});

test("a worker that gets a second signal ends at once", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using client = clientOf(broker);
  await using worker = start({ url: broker.url, graceMs: 60_000 });
  const { jobId } = await client.dispatch("wait", {});
  await worker.saw(`started ${jobId}`);
  worker.kill("SIGINT");
  await worker.saw("ending");
  worker.kill("SIGTERM");
  expect((await worker.ended).signal).toBe("SIGTERM");
});
