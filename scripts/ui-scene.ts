/** A broker in the middle of a busy hour, for pictures of the dashboard: jobs, workers, webhooks and a past. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Client, createClient as createRpcClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import pino from "pino";
import {
  AdminService,
  AIResultStatus,
  type ClaimedJob,
  createWorker,
  Fatal,
  type Handler,
  JobService,
  WorkerService,
} from "../src/client/index.ts";
import { createBroker } from "../src/server/index.ts";
import { startEmbeddedPostgres } from "../src/store/embedded.ts";
import { writePast } from "./ui-past.ts";

export interface Scene extends AsyncDisposable {
  /** Of the broker. */
  url: string;
  apiToken: string;
  /** A job with a story: it failed, was given back, and was done. */
  jobId: string;
}

interface Calls {
  jobs: Client<typeof JobService>;
  worker: Client<typeof WorkerService>;
  admin: Client<typeof AdminService>;
}

const JOB_ID = "exam-2026-11-0042";
const WORKER_TOKEN = "worker-token-of-the-scene";
const API_TOKEN = "api-token-of-the-scene";
const SETTINGS = {
  PORT: "0",
  INTERNAL_WORKER_TOKEN: WORKER_TOKEN,
  INTERNAL_API_TOKEN: API_TOKEN,
  // Pictures that jobs name are there.
  DASHBOARD_IMAGES: fileURLToPath(new URL("../examples/sheets", import.meta.url)),
  WEBHOOK_ALLOW_HTTP: "true",
  WEBHOOK_ALLOW_PRIVATE: "true",
  WEBHOOK_POLL_MS: "100",
};
/** Until there is something in every corner. */
const SETTLED_MS = 9_000;

/** Starts it, with a Postgres of its own; all of it ends with the scene. */
export async function openScene(): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const url = await startBroker(stack);
  const calls = callsOf(url);
  await addWebhooks(calls, stack);
  await fetch(`${url}/api/v1/internal/ai/job/next/`, {
    headers: { "x-worker-token": WORKER_TOKEN, "x-worker-id": "old-scanner" },
  });
  await tellStory(calls);
  await calls.jobs.dispatch({ jobs: backlog() });
  await calls.admin.pauseType({ type: "report-card", reason: "the template is wrong" });
  for (const workerId of ["gpu-a-1", "gpu-a-2", "gpu-b-1"]) startWorker(url, workerId, stack);
  goOnDispatching(calls, stack);
  await sleep(SETTLED_MS);
  const all = stack.move();
  return { url, apiToken: API_TOKEN, jobId: JOB_ID, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

async function startBroker(stack: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "ai-job-broker-scene-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const postgres = await startEmbeddedPostgres({ dataDir: join(folder, "data"), durable: true });
  stack.defer(() => postgres.stop());
  const broker = stack.use(
    createBroker({
      settings: { ...SETTINGS, DATABASE_URL: postgres.url },
      migrate: true,
      logger: pino({ level: "silent" }),
    }),
  );
  const { url } = await broker.start();
  await writePast(postgres.url);
  return url;
}

function callsOf(url: string): Calls {
  const transport = (token: string) =>
    createGrpcTransport({
      baseUrl: url,
      interceptors: [
        (next) => (req) => {
          req.header.set("x-worker-token", token);
          return next(req);
        },
      ],
    });
  const api = transport(API_TOKEN);
  return {
    jobs: createRpcClient(JobService, api),
    worker: createRpcClient(WorkerService, transport(WORKER_TOKEN)),
    admin: createRpcClient(AdminService, api),
  };
}

/** One endpoint that takes what it is told, and one that does not. */
async function addWebhooks({ admin }: Calls, stack: AsyncDisposableStack): Promise<void> {
  const server = createServer((req, res) => {
    res.writeHead(req.url === "/hooks/grades" ? 204 : 503).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stack.defer(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await admin.createWebhook({ url: `${url}/hooks/grades`, types: ["grade-sheet", "ocr"] });
  await admin.createWebhook({ url: `${url}/hooks/billing`, kinds: ["failed"] });
}

/** Three workers have one job in their hands, one after the other. */
async function tellStory({ jobs, worker }: Calls): Promise<void> {
  const payload = {
    exam: { id: 90071992547, pages: [1, 2, 3], subject: "국어" },
    rubric: { weights: { form: 0.4, content: 0.6 }, max_score: 100 },
    student: "김하늘",
    academy_id: 12,
    image_path: "english.png",
  };
  const result = {
    text: "The quick brown fox jumps over the lazy dog.",
    model: { name: "grader-v5", revision: 12, temperature: 0.1 },
    score: 87.5,
    passed: true,
    comments: [
      { page: 1, line: 3, text: "well said" },
      { page: 2, line: 1, text: "spelling" },
    ],
  };
  const source = { tenantId: "academy-12", sourceDomain: "submissions", sourceId: "48213" };
  const type = "grade-sheet";
  await jobs.dispatch({ jobs: [{ id: JOB_ID, type, payloadJson: JSON.stringify(payload), ...source }] });
  const take = async (workerId: string, ms: number): Promise<ClaimedJob> => {
    const { jobs: taken } = await worker.claim({ workerId, types: [type], wait: { seconds: 10n, nanos: 0 } });
    if (taken[0] === undefined) throw new Error(`nobody gave ${workerId} the job of the story`);
    await sleep(ms);
    return taken[0];
  };
  const report = (
    workerId: string,
    { leaseToken }: ClaimedJob,
    outcome: { error: string } | { resultJson: string },
  ) => {
    const status = "error" in outcome ? AIResultStatus.AI_RESULT_STATUS_FAILED : AIResultStatus.AI_RESULT_STATUS_DONE;
    const retryDelay = { seconds: 2n, nanos: 0 };
    return worker.report({
      workerId,
      items: [{ leaseToken, retryable: true, retryDelay, result: { jobId: JOB_ID, status, ...outcome } }],
    });
  };
  const error = "the model server answered 503: out of memory on cuda:0 (tried 2 of 2)";
  await report("gpu-a-1", await take("gpu-a-1", 1_800), { error });
  const given = await take("gpu-a-2", 900);
  await worker.release({ workerId: "gpu-a-2", leases: [{ jobId: JOB_ID, leaseToken: given.leaseToken }] });
  await report("gpu-b-1", await take("gpu-b-1", 2_600), { resultJson: JSON.stringify(result) });
}

const PAGE = { image_path: "science.png" };

function some(count: number, type: string, payload: object, more: object = {}) {
  return Array.from({ length: count }, (_, at) => ({
    type,
    payloadJson: JSON.stringify(payload),
    tenantId: `academy-${at % 7}`,
    sourceDomain: "submissions",
    sourceId: String(48_300 + at),
    ...more,
  }));
}

/** More than the workers get done while the pictures are taken. */
function backlog() {
  const tomorrow = { seconds: BigInt(Math.floor(Date.now() / 1_000) + 86_400), nanos: 0 };
  return [
    ...some(4, "report-card", { term: "2026-2" }),
    ...some(6, "summarize-page", PAGE, { runAt: tomorrow }),
    ...some(180, "grade-essay", { essay_id: 311, rubric: "v3" }),
  ];
}

/** A few of each type, and one now and then that fails. */
function goOnDispatching({ jobs }: Calls, stack: AsyncDisposableStack): void {
  const end = new AbortController();
  const run = async () => {
    for (let round = 0; !end.signal.aborted; round += 1) {
      await jobs.dispatch({
        jobs: [
          ...some(3, "embedding", { text: "빛은 매초 300,000 km 를 갑니다.", model: "e5" }),
          ...some(round % 3 === 0 ? 1 : 0, "summarize-page", PAGE),
          ...some(1 + (round % 2), "ocr", PAGE),
          ...some(round % 5 === 1 ? 1 : 0, "ocr", { image_path: "" }),
          ...some(1, "grade-essay", { essay_id: 312, rubric: "v3" }),
        ],
      });
      await sleep(1_500, undefined, { signal: end.signal }).catch(() => undefined);
    }
  };
  const running = run();
  stack.defer(() => {
    end.abort();
    return running;
  });
}

/** It works for as long as the scene stands. */
function startWorker(url: string, workerId: string, stack: AsyncDisposableStack): void {
  const end = new AbortController();
  const worker = createWorker<Record<string, { payload: Record<string, unknown>; result: object }>>({
    url,
    token: WORKER_TOKEN,
    workerId,
    signals: false,
    graceMs: 0,
    types: {
      "grade-essay": { concurrency: 2, handler: taking(6_000, ["reading", "grading", "writing comments"]) },
      "summarize-page": { concurrency: 1, handler: taking(3_000, ["summarizing"]) },
      ocr: { concurrency: 3, handler: taking(900, []) },
      embedding: { concurrency: 3, handler: taking(280, []) },
    },
  });
  const running = worker.run({ signal: end.signal });
  stack.defer(async () => {
    end.abort();
    await running;
  });
}

/** A handler that takes about so long, and says how far it is. */
function taking(ms: number, notes: readonly string[]): Handler<Record<string, unknown>, object> {
  return async ({ id, payload }, { signal, progress }) => {
    if (payload["text"] === "" || payload["image_path"] === "") throw new Fatal("the payload names nothing to read");
    // By its id, so that jobs differ.
    const share = 0.7 + (Number.parseInt(id.slice(-2), 16) % 10) / 15;
    for (let part = 0; part < 10; part += 1) {
      if (notes.length > 0) progress(part * 10, notes[Math.floor((part / 10) * notes.length)]);
      await sleep((ms * share) / 10, undefined, { signal });
    }
    return { ok: true };
  };
}
