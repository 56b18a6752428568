/** Watches and waits on real brokers: restarts, connections that are cut, and jobs that workers do meanwhile. */
import { expect } from "vitest";
import { type Client, createClient, createWorker, Fatal, type JobChange, type Watch } from "../../src/client/index.ts";
import { API_TOKEN, startTestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { startRelay } from "../support/raw-work.ts";
import { until } from "../support/until.ts";
import { startWorker } from "./given-worker.ts";

const TRANSPORTS = ["grpc-js", "connect"] as const;

/** Gathers what a watch tells until it is left. */
function gather(watch: Watch) {
  const gathered = { changes: [] as JobChange[], updates: 0, ended: Promise.resolve() };
  gathered.ended = (async () => {
    for await (const update of watch) {
      gathered.updates += 1;
      if (update.kind === "changes") gathered.changes.push(...update.changes);
    }
  })();
  return gathered;
}

/** A worker that does each job at once, until it is disposed. */
function quickWorker(url: string[]): AsyncDisposable {
  const handler = async ({ id }: { id: string }) => ({ id });
  const worker = createWorker({
    url,
    token: WORKER_TOKEN,
    signals: false,
    types: { mine: { concurrency: 8, handler } },
  });
  const stop = new AbortController();
  const running = worker.run({ signal: stop.signal });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

async function dispatchMany(client: Client, count: number): Promise<void> {
  for (let at = 0; at < count; at += 10) {
    await client.dispatchMany(Array.from({ length: 10 }, () => ({ type: "mine", payload: {} })));
  }
}

/** Each change of the database was told once, those of one job in order. */
function expectExact(changes: readonly JobChange[], rows: readonly { id: string }[]): void {
  const told = changes.map(({ eventId }) => eventId);
  expect(new Set(told).size).toBe(told.length);
  expect(told.toSorted()).toEqual(rows.map(({ id }) => id).toSorted());
  for (const ofJob of Map.groupBy(changes, ({ jobId }) => jobId).values()) {
    const seqs = ofJob.map(({ seq }) => seq);
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
  }
}

test("over a rolling restart of two brokers each change is told once, those of a job in order", async ({ db, url }) => {
  const brokers = [await startTestBroker(url), await startTestBroker(url)];
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    for (const broker of brokers) await broker.stop();
  });
  const urls = brokers.map((broker) => broker.url);
  const client = stack.use(createClient({ url: urls, token: API_TOKEN, timeoutMs: 30_000 }));
  const retries: (string | undefined)[] = [];
  const watching = TRANSPORTS.map((transport) => {
    const watcher = stack.use(createClient({ url: urls, token: API_TOKEN, transport }));
    const onRetry = ({ reason }: { reason: string | undefined }) => retries.push(reason);
    const watch = stack.use(watcher.watch({ types: ["mine"] }, { changesOnly: true, onRetry }));
    return gather(watch);
  });
  await until("they have begun", () => watching.every(({ updates }) => updates > 0));
  stack.use(quickWorker(urls));
  for (const [index, broker] of brokers.entries()) {
    await dispatchMany(client, 60);
    const more = dispatchMany(client, 60);
    await broker.stop();
    brokers[index] = await startTestBroker(url, { PORT: String(broker.port) });
    await more;
  }
  const isDone = async () => (await db.sql`SELECT 1 FROM ai_job WHERE status <> 'DONE' LIMIT 1`).length === 0;
  await until("all jobs are done", isDone, 30_000);
  const rows = await db.sql<{ id: string }[]>`SELECT job_id || '/' || seq AS id FROM ai_event`;
  expect(rows.length).toBeGreaterThanOrEqual(3 * 240);
  for (const { changes } of watching) {
    await until("all is told", () => changes.length >= rows.length, 30_000);
    expectExact(changes, rows);
  }
  expect(retries).toContain("SHUTTING_DOWN");
}, 60_000);

test.for(TRANSPORTS)(
  "a connection that is reset again and again, or falls dead, costs no change over %s",
  { timeout: 60_000 },
  async (transport, { db, url }) => {
    await using broker = await startTestBroker(url, { WATCH_HEARTBEAT_MS: "100" });
    const relay = await startRelay(broker.url);
    await using client = createClient({ url: broker.url, token: API_TOKEN });
    await using watcher = createClient({ url: relay.url, token: API_TOKEN, transport });
    const watching = gather(watcher.watch({ types: ["mine"] }, { changesOnly: true, silenceMs: 1_000 }));
    await until("it has begun", () => watching.updates > 0);
    await using _worker = quickWorker([broker.url]);
    for (let round = 0; round < 5; round += 1) {
      const { length } = watching.changes;
      await dispatchMany(client, 20);
      await until("something of it is told", () => watching.changes.length > length);
      if (round === 2) relay.silence();
      else relay.destroy();
    }
    await until(
      "all jobs are done",
      async () => (await db.sql`SELECT 1 FROM ai_job WHERE status <> 'DONE'`).length === 0,
    );
    const rows = await db.sql<{ id: string }[]>`SELECT job_id || '/' || seq AS id FROM ai_event`;
    await until("all is told", () => watching.changes.length >= rows.length);
    expectExact(watching.changes, rows);
    watcher.close();
    await expect(watching.ended).rejects.toThrow("the client was closed");
    await relay.close();
  },
);

test.for(TRANSPORTS)(
  "dispatchAndWait over %s: done, failed, cancelled, and one that had ended before",
  async (transport, { db: _, url }) => {
    await using broker = await startTestBroker(url);
    await using client = createClient({ url: broker.url, token: API_TOKEN, transport });
    await using worker = startWorker(broker.url, { token: WORKER_TOKEN, seats: { mine: 4 } });
    const wait = (id: string) => client.dispatchAndWait("mine", {}, { id, timeoutMs: 15_000 });
    const atWork = async (id: string) => {
      const outcome = wait(id);
      return { outcome, ...(await worker.started.take()) };
    };
    const done = await atWork("done");
    done.finish({ text: "hello" });
    const expected = { status: "DONE", jobId: "done", attempts: 1, result: { text: "hello" }, error: undefined };
    expect(await done.outcome).toEqual(expected);
    expect(await wait("done")).toEqual(expected);
    const failed = await atWork("failed");
    failed.fail(new Fatal("no ink"));
    expect(await failed.outcome).toMatchObject({ status: "FAILED", jobId: "failed", attempts: 1, error: "no ink" });
    const cancelled = await atWork("cancelled");
    await client.cancel("cancelled", { reason: "a slip" });
    cancelled.fail(new Error("stopped"));
    expect(await cancelled.outcome).toMatchObject({ status: "CANCELLED", error: "a slip" });
    await expect(client.dispatchAndWait("mine", {}, { id: "slow", timeoutMs: 300 })).rejects.toMatchObject({
      code: "DEADLINE_EXCEEDED",
      jobId: "slow",
    });
    expect((await client.get("slow"))?.status).not.toBe("CANCELLED");
  },
);

test("a wait goes on through a restart of its only broker", async ({ db: _, url }) => {
  const first = await startTestBroker(url);
  await using client = createClient({ url: first.url, token: API_TOKEN });
  const outcome = client.dispatchAndWait("mine", {}, { id: "a", timeoutMs: 30_000 });
  await until("it is stored", async () => (await client.get("a")) !== undefined);
  await first.stop();
  await using second = await startTestBroker(url, { PORT: String(first.port) });
  await using _worker = quickWorker([second.url]);
  expect(await outcome).toMatchObject({ status: "DONE", result: { id: "a" } });
});

test("many waits at a time each get their own job's end", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { WATCH_MAX_STREAMS: "20" });
  await using client = createClient({ url: broker.url, token: API_TOKEN });
  await using _worker = quickWorker([broker.url]);
  const ids = Array.from({ length: 60 }, (_, n) => `job-${n}`);
  const outcomes = await Promise.all(ids.map((id) => client.dispatchAndWait("mine", {}, { id, timeoutMs: 30_000 })));
  expect(outcomes.map(({ jobId, result }) => [jobId, result])).toEqual(ids.map((id) => [id, { id }]));
}, 60_000);
