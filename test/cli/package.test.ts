import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { packageVersion } from "../../src/version.ts";
import { LAUNCHER, watch } from "./run-cli.ts";
import { addressOf } from "./with-broker.ts";

const exec = promisify(execFile);
const root = dirname(dirname(LAUNCHER));

interface Package {
  dependencies: Record<string, string>;
}

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
    "templates",
  ];
  expect([...tops].filter((top) => !expected.includes(top ?? ""))).toEqual([]);
  const some = [
    "bin/ai-job-broker.js",
    "dist/main.js",
    "dist/client/index.d.ts",
    "dist/ui/index.html",
    "drizzle/0001_broker.sql",
  ];
  for (const path of some) expect(files).toContain(path);
  const sources = files.filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"));
  expect(sources.filter((path) => !path.startsWith("templates/"))).toEqual([]);
});

test("serve runs from it, with an embedded Postgres that it migrates, and with the dashboard", async () => {
  const env = { PATH: process.env["PATH"], DATA_DIR: join(folder, "data"), PORT: "0" };
  const running = watch(
    spawn(process.execPath, [join(installed, "bin/ai-job-broker.js"), "serve"], { env, stdio: "pipe" }),
  );
  const page = await fetch(`${await addressOf(running)}/ui/`);
  expect(await page.text()).toContain('<div id="app">');
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

test("init worker writes a project whose types hold, whose own test passes, and whose worker does a job", async () => {
  const project = join(folder, "my-worker");
  const launcher = join(installed, "bin/ai-job-broker.js");
  const env = {
    PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env["PATH"]}`,
    DATA_DIR: join(folder, "dev"),
    PORT: "0",
  };
  await exec(process.execPath, [launcher, "init", "worker", "my-worker", "--type", "read-sheet"], { cwd: folder, env });
  const { dependencies } = JSON.parse(await readFile(join(project, "package.json"), "utf8")) as Package;
  expect(dependencies).toEqual({ "ai-job-broker": packageVersion() });
  await exec("npm", ["run", "check"], { cwd: project, env });
  const own = await exec("npm", ["test"], { cwd: project, env });
  expect(own.stdout).toMatch(/pass 3\n.*fail 0\n/);

  const broker = watch(spawn(process.execPath, [launcher, "dev"], { env, stdio: "pipe" }));
  await addressOf(broker);
  const worker = watch(spawn("node", ["src/worker.ts"], { cwd: project, env, stdio: "pipe" }));
  onTestFinished(() => void [broker, worker].map(({ child }) => child.kill("SIGKILL")));
  const job = ["dispatch", "read-sheet", '{"image_path": "1.png"}', "--wait", "--timeout", "60s"];
  const { stdout } = await exec(process.execPath, [launcher, ...job], { env });
  expect(JSON.parse(stdout)).toEqual({ text: "what stands on 1.png" });
  worker.child.kill("SIGTERM");
  expect(await worker.done).toMatchObject({ code: 0, stdout: expect.stringMatching(/^is done .*read-sheet/m) });
  broker.child.kill("SIGTERM");
  expect((await broker.done).code).toBe(0);
}, 120_000);
