/** The receiver of examples/, told over real HTTP by a real broker: verifies, applies once, enqueues grading. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "vitest";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { ReportStatus } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { newSecret, sign } from "../../src/webhooks/sign.ts";
import { type Running, watch } from "../cli/run-cli.ts";
import { addressOf } from "../cli/with-broker.ts";
import { API_TOKEN, startTestBroker, type TestBroker } from "../support/broker.ts";
import { until } from "../support/until.ts";
import { test as base, ROOT } from "./programs.ts";

const RECEIVER = "examples/receiver-python/receiver.py";
const SECRET = newSecret();
const OPEN = { WEBHOOK_ALLOW_PRIVATE: "true", WEBHOOK_ALLOW_HTTP: "true", WEBHOOK_POLL_MS: "20" };

interface Fixtures {
  folder: string;
  /** Starts it; -S hides the installed packages, so that it verifies by itself. */
  receive: (broker: TestBroker, args?: string[]) => Promise<{ running: Running; hook: string }>;
}

const test = base.extend<Fixtures>({
  folder: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), "aibroker-receiver-"));
    await use(folder);
    await rm(folder, { recursive: true });
  },
  receive: async ({ folder, skip }, use) => {
    const missing = spawnSync("python3", ["-c", "import sqlite3"]).status !== 0;
    if (missing) process.stderr.write("the Python receiver is not run: there is no python3 with sqlite3\n");
    skip(missing, "there is no python3 with sqlite3");
    const started: Running[] = [];
    await use(async (broker, args = ["-S"]) => {
      const env = {
        ...{ WEBHOOK_SECRET: SECRET, BROKER_URL: broker.url, BROKER_TOKEN: API_TOKEN, PORT: "0" },
        ...{ DATABASE: join(folder, "receiver.sqlite3"), PYTHONDONTWRITEBYTECODE: "1" },
      };
      const path = { PATH: process.env["PATH"] ?? "" };
      const running = watch(spawn("python3", [...args, RECEIVER], { cwd: ROOT, env: { ...path, ...env } }));
      started.push(running);
      return { running, hook: await addressOf(running) };
    });
    for (const { child } of started) child.kill("SIGKILL");
    await Promise.all(started.map(({ done }) => done));
  },
});

async function givenDone(broker: TestBroker, id: string, resultJson = '{"text": "2 + 2"}'): Promise<void> {
  await broker.jobs.dispatch({ jobs: [{ id, type: "ocr", sourceDomain: "exams", sourceId: "7" }] });
  const { jobs } = await broker.worker.claim({ workerId: "w1", types: ["ocr"] });
  const leaseToken = jobs[0]?.leaseToken ?? "";
  const result = { jobId: id, status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson };
  const { results } = await broker.worker.report({ workerId: "w1", items: [{ leaseToken, result }] });
  expect(results[0]?.status).toBe(ReportStatus.ACCEPTED);
}

const gradings = async (broker: TestBroker) => (await broker.jobs.listJobs({ types: ["grading"] })).jobs;

function sheets(folder: string): unknown[] {
  const db = new DatabaseSync(join(folder, "receiver.sqlite3"), { readOnly: true });
  try {
    return db
      .prepare("SELECT job_id, source_id, text, times FROM sheet")
      .all()
      .map((row) => ({ ...row }));
  } finally {
    db.close();
  }
}

test("a done sheet is applied once and graded once, however often it is told", async ({
  db: _,
  url,
  folder,
  receive,
}) => {
  await using broker = await startTestBroker(url, OPEN);
  const { running, hook } = await receive(broker);
  const { webhook } = await broker.admin.createWebhook({ url: hook, secret: SECRET, types: ["ocr"] });
  const webhookId = webhook?.id ?? "";
  expect(await broker.admin.testWebhook({ webhookId })).toMatchObject({ delivered: true, status: 204 });
  await givenDone(broker, "sheet-1");
  await until("it is applied", () => running.stdout().includes("sheet-1 applied"));
  await broker.admin.redeliverWebhook({ webhookId, events: { case: "jobId", value: "sheet-1" } });
  await until("it is told again", () => running.stdout().includes("sheet-1 known"));
  expect(sheets(folder)).toEqual([{ job_id: "sheet-1", source_id: "7", text: "2 + 2", times: 1 }]);
  expect(await gradings(broker)).toMatchObject([{ job: { sourceDomain: "exams", sourceId: "7" } }]);
});

test("a result too large for an event is fetched; a signature of another secret is refused", async ({
  db: _,
  url,
  folder,
  receive,
}) => {
  await using broker = await startTestBroker(url, { ...OPEN, WEBHOOK_MAX_RESULT_BYTES: "10" });
  const { running, hook } = await receive(broker);
  await broker.admin.createWebhook({ url: hook, secret: SECRET, types: ["ocr"] });
  await givenDone(broker, "large", `{"text": "${"x".repeat(100)}"}`);
  await until("it is applied", () => running.stdout().includes("large applied"));
  expect(sheets(folder)).toMatchObject([{ job_id: "large", text: "x".repeat(100) }]);
  const body = '{"type":"job.done","data":{}}';
  const post = (headers: object) => fetch(hook, { method: "POST", body, headers: { ...headers } });
  expect((await post({})).status).toBe(401);
  expect((await post(sign(newSecret(), "evt_1", new Date(), body))).status).toBe(401);
  const old = new Date(Date.now() - 3_600_000);
  expect((await post(sign(SECRET, "evt_1", old, body))).status).toBe(401);
});

test("with the broker away at the grading the event comes again, and nothing is applied twice", async ({
  db,
  url,
  folder,
  receive,
}) => {
  // Told by one broker, it dispatches to another, which is not there yet.
  await using broker = await startTestBroker(url, OPEN);
  const { running, hook } = await receive({ ...broker, url: "http://127.0.0.1:9" });
  await broker.admin.createWebhook({ url: hook, secret: SECRET, types: ["ocr"] });
  await givenDone(broker, "sheet-2");
  await until("it could not be graded", () => running.stdout().includes("the event will come again"));
  expect(sheets(folder)).toMatchObject([{ job_id: "sheet-2", times: 1 }]);
  running.child.kill("SIGKILL");
  const next = await receive(broker);
  await db.sql`UPDATE ai_webhook SET url = ${next.hook}, open_until = NULL`;
  await until("its failure is written down", async () => {
    const { count } = await db.sql`UPDATE ai_delivery SET next_at = now() WHERE last_error IS NOT NULL`;
    return count === 1;
  });
  await until("it is graded", () => next.running.stdout().includes("sheet-2 known, grading is"));
  expect(sheets(folder)).toMatchObject([{ job_id: "sheet-2", times: 1 }]);
  expect(await gradings(broker)).toHaveLength(1);
});

test("the published library verifies the same, where it is installed", async ({ db: _, url, receive, skip }) => {
  const missing = spawnSync("python3", ["-c", "import standardwebhooks"]).status !== 0;
  if (missing)
    process.stderr.write("not verified by the library: pip install -r examples/receiver-python/requirements.txt\n");
  skip(missing, "the package standardwebhooks is not installed");
  await using broker = await startTestBroker(url, OPEN);
  const { hook } = await receive(broker, []);
  const { webhook } = await broker.admin.createWebhook({ url: hook, secret: SECRET });
  expect(await broker.admin.testWebhook({ webhookId: webhook?.id ?? "" })).toMatchObject({ delivered: true });
  const other = await broker.admin.createWebhook({ url: hook });
  expect(await broker.admin.testWebhook({ webhookId: other.webhook?.id ?? "" })).toMatchObject({ status: 401 });
});
