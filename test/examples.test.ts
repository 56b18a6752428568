/** The programs of examples/, each run once as a reader of them would. */
import { spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { watch } from "./cli/run-cli.ts";
import { API_TOKEN, startTestBroker, type TestBroker, WORKER_TOKEN } from "./support/broker.ts";
import { test } from "./support/db.ts";

const hasPython = spawnSync("python3", ["--version"]).status === 0;

function run(program: string, file: string, broker: TestBroker, env: Record<string, string>) {
  const path = fileURLToPath(new URL(`../examples/${file}`, import.meta.url));
  const all = { PATH: process.env["PATH"], BROKER_URL: broker.url, ...env };
  return watch(spawn(program, [path], { env: all, stdio: "pipe" }));
}

test("the producer's job is done by the gRPC worker, and both say so", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  const worker = run(process.execPath, "worker.ts", broker, { BROKER_TOKEN: WORKER_TOKEN, ONCE: "1" });
  const producer = await run(process.execPath, "producer.ts", broker, { BROKER_TOKEN: API_TOKEN }).done;
  expect(producer).toMatchObject({ code: 0, stderr: "" });
  const [, jobId] = /^dispatched (\S+)\n/.exec(producer.stdout) ?? [];
  expect(producer.stdout).toMatch(/done by example-\d+: .*what stands on examples\/sheets\/english\.png/);
  expect(await worker.done).toMatchObject({ code: 0, stderr: "", stdout: expect.stringContaining(`${jobId}: `) });
});

test.runIf(hasPython)("the legacy worker does what waits, then ends", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ id: "a", type: "ocr", payloadJson: '{"image_path": "1.png"}' }] });
  const worker = await run("python3", "legacy_worker.py", broker, { INTERNAL_WORKER_TOKEN: WORKER_TOKEN, ONCE: "1" })
    .done;
  expect(worker).toEqual({ code: 0, stderr: "", stdout: "a done\n" });
  const { job } = await broker.jobs.getJob({ jobId: "a" });
  expect(JSON.parse(job?.result?.resultJson ?? "{}")).toEqual({ read: "1.png" });
});

test.runIf(hasPython)("the legacy worker with a wrong token ends with the broker's words", async ({ url }) => {
  await using broker = await startTestBroker(url);
  const worker = await run("python3", "legacy_worker.py", broker, { INTERNAL_WORKER_TOKEN: "wrong" }).done;
  expect(worker).toMatchObject({ code: 1, stderr: expect.stringContaining("Unauthorized worker") });
});
