/** The programs of examples/ in processes of their own, with nothing of this one's environment but PATH. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Running, watch } from "../cli/run-cli.ts";
import { WORKER_TOKEN } from "../support/broker.ts";
import { test as base } from "../support/db.ts";

export const ROOT = resolve(import.meta.dirname, "../..");

export const BUF = join(ROOT, "node_modules/.bin/buf");
const PATH = process.env["PATH"] ?? "";

type Env = Record<string, string>;

/** What an example is run with: its language's program, and what must be in its environment. */
export interface Runtime {
  program: string;
  env: Env;
  /** Why it cannot be run on this machine. */
  missing?: string;
}

export function runExample({ program, env }: Runtime, file: string, more: Env = {}, args: string[] = []): Running {
  return watch(spawn(program, [join("examples", file), ...args], { cwd: ROOT, env: { PATH, ...env, ...more } }));
}

/** Each worker over the Work stream. */
export const STREAM_WORKERS = [
  "worker-node/worker.ts",
  "worker-node-raw/worker.ts",
  "worker-python/worker.py",
] as const;

export type StreamWorker = (typeof STREAM_WORKERS)[number];

interface Fixtures {
  /** Node, as npm brought it. */
  node: Runtime;
  /** The python3 on the PATH, with a client generated from proto/ as the example's README says. */
  python: Runtime;
  /** Starts one of them; ends it with the test. Skips the test, with the reason, where its runtime is missing. */
  startWorker: (file: StreamWorker, url: string, env?: Env) => Running;
}

export const test = base.extend<Fixtures>({
  node: [
    async ({}, use) => {
      await use({ program: process.execPath, env: {} });
    },
    { scope: "file" },
  ],
  python: [
    async ({}, use) => {
      const missing = missingPython();
      if (missing !== undefined) {
        // The reporter counts what is skipped, and tells the reason only with --reporter=verbose.
        process.stderr.write(`tests with Python are skipped: ${missing}\n`);
        return await use({ program: "python3", env: {}, missing });
      }
      const folder = await mkdtemp(join(tmpdir(), "aibroker-python-"));
      const template = "examples/worker-python/buf.gen.yaml";
      const made = spawnSync(BUF, ["generate", "--template", template, "-o", folder], { cwd: ROOT, encoding: "utf8" });
      if (made.status !== 0) throw new Error(`buf generate for Python: ${made.stderr}`);
      const gen = join(folder, "examples/worker-python/gen");
      await use({ program: "python3", env: { PYTHONPATH: gen, PYTHONDONTWRITEBYTECODE: "1" } });
      await rm(folder, { recursive: true });
    },
    { scope: "file" },
  ],
  startWorker: async ({ node, python, skip }, use) => {
    const started: Running[] = [];
    await use((file, url, env) => {
      const runtime = file.endsWith(".py") ? python : node;
      skip(runtime.missing !== undefined, runtime.missing);
      const all = { BROKER_URL: url, BROKER_TOKEN: WORKER_TOKEN, ...env };
      const running = runExample(runtime, file, all);
      started.push(running);
      return running;
    });
    for (const { child } of started) child.kill("SIGKILL");
    await Promise.all(started.map(({ done }) => done));
  },
});

function missingPython(): string | undefined {
  const { status, stderr } = spawnSync("python3", ["-c", "import grpc, grpc_status, grpc_tools.protoc"], {
    encoding: "utf8",
  });
  if (status === 0) return undefined;
  const why = stderr?.trim().split("\n").at(-1) || "there is no python3";
  return `${why}; pip install -r examples/worker-python/requirements.txt`;
}
