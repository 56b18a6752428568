/** The worker of examples/ that polls the two REST endpoints. */
import { spawnSync } from "node:child_process";
import { expect } from "vitest";
import { startTestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test as base, type Runtime, runExample } from "./programs.ts";

const WORKER = "worker-legacy-python/worker.py";

const test = base.extend<{ anyPython: Runtime }>({
  anyPython: async ({ skip }, use) => {
    const missing = spawnSync("python3", ["--version"]).status !== 0;
    if (missing) process.stderr.write("the legacy worker is not run: there is no python3\n");
    skip(missing, "there is no python3");
    await use({ program: "python3", env: {} });
  },
});

test("the legacy worker does what waits, then ends", async ({ db: _, url, anyPython }) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ id: "a", type: "ocr", payloadJson: '{"image_path": "1.png"}' }] });
  const env = { BROKER_URL: broker.url, INTERNAL_WORKER_TOKEN: WORKER_TOKEN, ONCE: "1" };
  const worker = await runExample(anyPython, WORKER, env).done;
  expect(worker).toEqual({ code: 0, stderr: "", stdout: "a done\n" });
  const { job } = await broker.jobs.getJob({ jobId: "a" });
  expect(JSON.parse(job?.result?.resultJson ?? "{}")).toEqual({ read: "1.png" });
});

test("the legacy worker with a wrong token ends with the broker's words", async ({ url, anyPython }) => {
  await using broker = await startTestBroker(url);
  const env = { BROKER_URL: broker.url, INTERNAL_WORKER_TOKEN: "wrong" };
  const worker = await runExample(anyPython, WORKER, env).done;
  expect(worker).toMatchObject({ code: 1, stderr: expect.stringContaining("Unauthorized worker") });
});
