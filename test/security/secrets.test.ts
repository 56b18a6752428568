/** What is secret is told to nobody: not in the log at its most talkative, errors, metrics, the process list or `doctor`. */
import { readFile } from "node:fs/promises";
import { createClient } from "@connectrpc/connect";
import { expect } from "vitest";
import { AdminService } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { runCli } from "../cli/run-cli.ts";
import { type HostileBroker, startHostileBroker } from "../hostile/hostile-broker.ts";
import { test } from "../support/db.ts";
import { transports } from "../support/rpc-clients.ts";
import { until } from "../support/until.ts";
import { startReceiver } from "../support/webhooks.ts";

const WEBHOOK_SECRET = `whsec_${Buffer.from("canary-webhook-secret-of-32-bytes").toString("base64")}`;

/** By what they are; each text is found nowhere else. */
const SECRETS = {
  "a worker's token": "canary-worker-token-0123456789",
  "an operator's token": "canary-api-token-0123456789",
  "a reader's token": "canary-read-token-0123456789",
  "a token that is mistyped": "canary-worker-token-012345678",
  "the database's password": "canary-database-password",
  "a webhook's secret": WEBHOOK_SECRET,
  "the payload of a job": "canary-payload",
  "the result of a job": "canary-result",
} as const;

const DONE = AIResultStatus.AI_RESULT_STATUS_DONE;

/** Which of the secrets the text has; one that is put into another's place counts for both. */
function told(text: string): string[] {
  return Object.entries(SECRETS).flatMap(([what, secret]) => (text.includes(secret) ? [what] : []));
}

function environment(url: string): Record<string, string> {
  const database = new URL(url);
  // The tests' Postgres asks for none, so any is right.
  database.password = SECRETS["the database's password"];
  return {
    DATABASE_URL: database.href,
    INTERNAL_WORKER_TOKEN: `${SECRETS["a worker's token"]},another-token-0123456789`,
    INTERNAL_API_TOKEN: SECRETS["an operator's token"],
    INTERNAL_READ_TOKEN: SECRETS["a reader's token"],
    LOG_LEVEL: "trace",
    WEBHOOK_ALLOW_PRIVATE: "true",
    WEBHOOK_ALLOW_HTTP: "true",
  };
}

/** A day's work with every kind of mistake in it; what callers are told, as one text. */
async function useAll({ url }: HostileBroker, endpoint: string): Promise<{ heard: string; leases: string[] }> {
  const heard: unknown[] = [];
  const leases: string[] = [];
  const note = (call: Promise<unknown>) =>
    call.then(
      (answer) => heard.push(shown(answer)),
      (err) => heard.push(shown({ message: err.message, ...err })),
    );
  // Those of an operator first, so that there are jobs for the worker.
  const tokens = ["an operator's token", "a worker's token", "a reader's token", "a token that is mistyped"] as const;
  for (const token of tokens) {
    for (const prefix of ["", "Bearer "]) {
      for (const transport of Object.values(transports(url, prefix + SECRETS[token]))) {
        const jobs = createClient(JobService, transport);
        const worker = createClient(WorkerService, transport);
        const admin = createClient(AdminService, transport);
        const payloadJson = `{"a":"${SECRETS["the payload of a job"]}"}`;
        await note(jobs.dispatch({ jobs: [{ type: "secret", payloadJson }] }));
        await note(jobs.dispatch({ jobs: [{ type: "secret", payloadJson: `${payloadJson}x` }] }));
        await note(jobs.dispatch({ jobs: [{ type: "ocr", payloadJson: '{"academy_id":"x"}' }] }));
        const claimed = await worker.claim({ workerId: "w", types: ["secret"] }).catch(() => undefined);
        const items = (claimed?.jobs ?? []).map(({ job, leaseToken }) => ({
          leaseToken,
          result: { jobId: job?.id ?? "", status: DONE, resultJson: `{"b":"${SECRETS["the result of a job"]}"}` },
        }));
        leases.push(...items.map(({ leaseToken }) => leaseToken));
        if (items.length > 0) await note(worker.report({ workerId: "w", items }));
        await note(
          worker.report({ workerId: "w", items: [{ leaseToken: "x", result: { jobId: "x", status: DONE } }] }),
        );
        await note(admin.createWebhook({ url: endpoint, secret: "whsec_wrong" }));
        await note(admin.listWebhooks({}));
        await note(admin.listWorkers({}));
        await note(admin.getServerInfo({ includeSettings: true }));
        await note(jobs.listJobs({}));
      }
    }
    const headers = { "x-worker-token": SECRETS[token], "content-type": "application/json" };
    const result = `${url}/api/v1/internal/ai/job/result/`;
    for (const body of ['{"job_id":"none"}', "{", '{"job_id":1e400}']) {
      await note(fetch(result, { method: "POST", headers, body }).then((answer) => answer.text()));
    }
    await note(fetch(`${url}/metrics`, { headers }).then((answer) => answer.text()));
    await note(fetch(`${url}/nowhere?token=${"x"}`, { headers }).then((answer) => answer.text()));
  }
  return { heard: heard.join("\n"), leases };
}

function shown(value: unknown): string {
  return JSON.stringify(value, (_, one) => (typeof one === "bigint" ? String(one) : one));
}

test("not in the log, errors, answers, metrics or the process list", async ({ db, url }) => {
  await using receiver = await startReceiver((_, n) => (n % 2 === 0 ? 500 : 204));
  const broker = await startHostileBroker(url, environment(url));
  try {
    const api = transports(broker.url, SECRETS["an operator's token"])["grpc"];
    const admin = createClient(AdminService, api as NonNullable<typeof api>);
    const endpoint = `${receiver.url}?key=x`;
    const { secret } = await admin.createWebhook({ url: endpoint, secret: WEBHOOK_SECRET });
    // Once, to who made it.
    expect(secret).toBe(WEBHOOK_SECRET);
    const { heard, leases } = await useAll(broker, endpoint);
    await until("webhooks were told, and failed", () => receiver.told.length >= 4);
    expect(told(heard)).toEqual([]);
    // What is in the log is what was done, so this is no empty log.
    expect(broker.logText()).toContain('"reason":"BAD_TOKEN"');
    expect(broker.logText()).toContain('"move":"report"');
    expect(told(broker.logText())).toEqual([]);
    // Who has a lease's token may report for its worker.
    expect(leases.length).toBeGreaterThan(0);
    expect(leases.filter((token) => broker.logText().includes(token) || heard.includes(token))).toEqual([]);
    expect(told(await readFile(`/proc/${broker.pid}/cmdline`, "utf8"))).toEqual([]);
    const errors = await db.sql`SELECT coalesce(last_error, '') AS text FROM ai_webhook`;
    expect(told(JSON.stringify(errors))).toEqual([]);
  } finally {
    await broker.stop();
  }
}, 60_000);

test("not by doctor, whether all is well or nothing is", async ({ url }) => {
  const well = environment(url);
  const away = { ...well, DATABASE_URL: well["DATABASE_URL"]?.replace(/@[^/]+/, "@127.0.0.1:1") ?? "" };
  const wrong = {
    ...well,
    DATABASE_URL: "canary-database-password",
    INTERNAL_API_TOKEN: "canary-worker-token-012345678 x",
  };
  for (const env of [well, away, wrong]) {
    for (const args of [["doctor"], ["doctor", "--json"]]) {
      const { stdout, stderr } = await runCli(args, { env: { ...env, PORT: "0" } });
      expect(stdout).not.toBe("");
      expect(told(stdout + stderr)).toEqual([]);
    }
  }
}, 60_000);
