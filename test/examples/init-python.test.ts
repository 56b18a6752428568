/** What `init worker --language python` writes, from its README's commands to a job that is done. */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { type Running, runCli, watch } from "../cli/run-cli.ts";
import { API_TOKEN, startTestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "./programs.ts";

test("its own test passes, and its worker does a job", { timeout: 60_000 }, async ({ db: _, url, python, skip }) => {
  skip(python.missing !== undefined, python.missing);
  const folder = await mkdtemp(join(tmpdir(), "aibroker-init-python-"));
  const project = join(folder, "worker");
  expect((await runCli(["init", "worker", project, "--type", "read-sheet", "--language", "python"])).code).toBe(0);

  await using broker = await startTestBroker(url);
  const env = { PATH: process.env["PATH"] ?? "", BROKER_URL: broker.url, INTERNAL_WORKER_TOKEN: WORKER_TOKEN };
  const start = (program: string, ...args: string[]): Running =>
    watch(spawn(program, args, { cwd: project, env, stdio: "pipe" }));
  const ok = { code: 0 };
  expect(await start("sh", "generate.sh").done).toMatchObject(ok);
  expect(await start("python3", "-m", "unittest").done).toMatchObject(ok);

  const worker = start("python3", "worker.py");
  onTestFinished(async () => {
    worker.child.kill("SIGKILL");
    await worker.done;
    await rm(folder, { recursive: true });
  });
  const job = ["dispatch", "read-sheet", '{"image_path": "1.png"}', "--wait", "--timeout", "30s"];
  const { stdout } = await runCli(job, { env: { BROKER_URL: broker.url, BROKER_TOKEN: API_TOKEN } });
  expect(JSON.parse(stdout)).toEqual({ text: "what stands on 1.png" });
  worker.child.kill("SIGTERM");
  expect(await worker.done).toMatchObject(ok);
});
