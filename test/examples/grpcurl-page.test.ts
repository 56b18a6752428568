/** The commands of examples/grpcurl.md, run from top to bottom as a reader pastes them. */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { AdminService } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { type Ran, watch } from "../cli/run-cli.ts";
import { API_TOKEN, startTestBroker, type TestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { BUF, ROOT } from "./programs.ts";

const page = readFileSync(join(ROOT, "examples/grpcurl.md"), "utf8");
const [, withGrpcurl = "", withBuf = ""] = page.split(/^## .*$/m);

function commands(section: string): string {
  return [...section.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block).join("\n");
}

/** Runs a section in a folder such as `npm start` leaves one. */
async function runPage(section: string, broker: TestBroker, signal: AbortSignal): Promise<Ran> {
  const folder = await mkdtemp(join(tmpdir(), "aibroker-page-"));
  await mkdir(join(folder, ".ai-job-broker"));
  const tokens = JSON.stringify({ workerToken: WORKER_TOKEN, apiToken: API_TOKEN }, null, 2);
  await writeFile(join(folder, ".ai-job-broker/dev-tokens.json"), tokens);
  const script = commands(section).replaceAll("127.0.0.1:50051", `127.0.0.1:${broker.port}`).replaceAll("npx buf", BUF);
  const env = { PATH: process.env["PATH"], HOME: folder };
  const bash = spawn("bash", ["-euo", "pipefail"], { cwd: folder, env, signal });
  return await watch(bash, script).done.finally(() => rm(folder, { recursive: true }));
}

async function statusOf(broker: TestBroker, jobId: string): Promise<JobStatus | undefined> {
  return (await broker.jobs.getJob({ jobId })).job?.status;
}

test("the page calls every RPC there is", () => {
  for (const { typeName, methods } of [WorkerService, JobService, AdminService, Health, ServerReflection]) {
    for (const { name } of methods) expect(commands(withGrpcurl)).toContain(`${typeName}/${name}`);
  }
});

test("what the page does with grpcurl works", async ({ db: _, url, skip, signal }) => {
  const missing = spawnSync("grpcurl", ["--version"]).error !== undefined;
  if (missing) process.stderr.write("the page with grpcurl is not run: there is no grpcurl on the PATH\n");
  skip(missing, "there is no grpcurl on the PATH");
  await using broker = await startTestBroker(url);
  const { code, stdout, stderr } = await runPage(withGrpcurl, broker, signal);
  expect({ code, stderr }, stdout).toMatchObject({ code: 0 });
  expect(stdout.match(/REPORT_STATUS_ACCEPTED/g)).toHaveLength(2);
  for (const said of ["SERVING", "LEASE_VERDICT_CONTINUE", '"released": true', '"pong": {', '"resumed": true']) {
    expect(stdout).toContain(said);
  }
  expect(await statusOf(broker, "first")).toBe(JobStatus.DONE);
  expect(await statusOf(broker, "second")).toBe(JobStatus.DONE);
}, 60_000);

test("what the page does with buf curl works, a Work stream from stdin included", async ({ db: _, url, signal }) => {
  await using broker = await startTestBroker(url);
  const { code, stdout, stderr } = await runPage(withBuf, broker, signal);
  expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: "" });
  expect(stdout.match(/REPORT_STATUS_ACCEPTED/g)).toHaveLength(2);
  expect(stdout).toContain('"welcome": {');
  expect(await statusOf(broker, "third")).toBe(JobStatus.DONE);
  expect(await statusOf(broker, "fourth")).toBe(JobStatus.DONE);
}, 60_000);
