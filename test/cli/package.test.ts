import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LAUNCHER, watch } from "./run-cli.ts";
import { addressOf } from "./with-broker.ts";

const exec = promisify(execFile);
const root = dirname(dirname(LAUNCHER));

let folder = "";
let files: string[] = [];
let installed = "";

// What npm pack makes, put where npm install would put it; the dependencies are links to ours, so no registry is asked.
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aibroker-package-"));
  const { stdout } = await exec("npm", ["pack", "--json", "--pack-destination", folder], { cwd: root });
  const [pack] = JSON.parse(stdout.slice(stdout.indexOf("[\n"))) as [{ filename: string; files: { path: string }[] }];
  files = pack.files.map((file) => file.path);
  await mkdir(join(folder, "node_modules"));
  await exec("tar", ["-xzf", join(folder, pack.filename), "-C", folder]);
  installed = join(folder, "node_modules", "ai-job-broker");
  await exec("mv", [join(folder, "package"), installed]);
  for (const name of await readdir(join(root, "node_modules"))) {
    if (!name.startsWith(".")) await symlink(join(root, "node_modules", name), join(folder, "node_modules", name));
  }
  await writeFile(join(folder, "package.json"), '{"type": "module"}');
}, 120_000);

afterAll(() => rm(folder, { recursive: true }));

test("it holds what runs, and nothing else of the repository", () => {
  const tops = new Set(files.map((path) => path.split("/")[0]));
  const expected = [
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "bin",
    "dist",
    "drizzle",
    "examples",
    "package.json",
    "proto",
  ];
  expect([...tops].filter((top) => !expected.includes(top ?? ""))).toEqual([]);
  for (const path of ["bin/ai-job-broker.js", "dist/main.js", "dist/client/index.d.ts", "drizzle/0001_broker.sql"]) {
    expect(files).toContain(path);
  }
  expect(files.filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"))).toEqual([]);
});

test("serve runs from it, with an embedded Postgres that it migrates", async () => {
  const env = { PATH: process.env["PATH"], DATA_DIR: join(folder, "data"), PORT: "0" };
  const running = watch(
    spawn(process.execPath, [join(installed, "bin/ai-job-broker.js"), "serve"], { env, stdio: "pipe" }),
  );
  await addressOf(running);
  running.child.kill("SIGTERM");
  expect((await running.done).code).toBe(0);
}, 60_000);

test("a program can import the services, with their types", async () => {
  const program = `
    import { type AIJob, JobService, JobStatus } from "ai-job-broker/client";
    import { type BrokerEvent, createBroker } from "ai-job-broker/server";
    const seen: BrokerEvent[] = [];
    createBroker({ settings: {} }).on("done", (event) => void seen.push(event));
    const id: AIJob["id"] = "x";
    console.log(JobService.typeName, JobStatus.DONE, id);`;
  await writeFile(join(folder, "program.ts"), program);
  const { stdout } = await exec(process.execPath, [join(folder, "program.ts")]);
  expect(stdout).toBe("aibroker.v1.JobService 3 x\n");
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const options = [
    "--noEmit",
    "--strict",
    "--skipLibCheck",
    "--module",
    "nodenext",
    "--types",
    "node",
    "--lib",
    "es2024,dom",
  ];
  await exec(process.execPath, [tsc, ...options, "program.ts"], { cwd: folder });
}, 60_000);
