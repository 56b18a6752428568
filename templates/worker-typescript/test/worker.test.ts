import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, createWorker } from "ai-job-broker/client";
import { runOne, startTestBroker } from "ai-job-broker/testing";
import { handler, type Jobs, types } from "../src/jobs.ts";

test("the handler reads an image", async () => {
  const { status, result } = await runOne(handler, { image_path: "1.png" });
  assert.deepEqual({ status, result }, { status: "DONE", result: { text: "what stands on 1.png" } });
});

test("an empty path is a failure for good", async () => {
  const { status, retryable, error } = await runOne(handler, { image_path: "" });
  assert.deepEqual({ status, retryable }, { status: "FAILED", retryable: false });
  assert.match(error ?? "", /image_path is empty/);
});

test("a job goes from a producer through a real broker to the worker and back", async () => {
  await using broker = await startTestBroker();
  await using client = createClient<Jobs>({ url: broker.url, token: broker.apiToken });
  const worker = createWorker<Jobs>({ url: broker.url, token: broker.workerToken, types, signals: false });
  const stop = new AbortController();
  const running = worker.run(stop);
  try {
    const { status, result } = await client.dispatchAndWait("ocr", { image_path: "1.png" }, { timeoutMs: 30_000 });
    assert.deepEqual({ status, result }, { status: "DONE", result: { text: "what stands on 1.png" } });
  } finally {
    stop.abort();
    await running;
  }
});
