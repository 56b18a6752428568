/** A real broker on a real Postgres, for one test or one test file. */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino, { type Logger } from "pino";
import { startBroker } from "../broker.ts";
import { loadConfig, shownSettings } from "../config.ts";
import { startEmbeddedPostgres } from "../store/embedded.ts";
import { migrate } from "../store/migrate.ts";

export interface TestBrokerOptions {
  /** More of the broker's settings, named as in the environment; the real environment is not read. */
  settings?: Record<string, string>;
  /** A Postgres to use, with the right to change its schema, instead of an embedded one. */
  databaseUrl?: string;
  /** The broker's log; default: none. */
  logger?: Logger;
}

export interface TestBroker extends AsyncDisposable {
  /** http://127.0.0.1:PORT */
  url: string;
  /** For createWorker. */
  workerToken: string;
  /** For createClient. */
  apiToken: string;
  databaseUrl: string;
  /** Ends it all and removes its folder; a second call waits for the same. */
  stop(): Promise<void>;
}

/** What a test does not want to wait for. */
const QUICK = { RECLAIM_EVERY_MS: "50", POLL_EVERY_MS: "50", BACKOFF_BASE_MS: "10", SHUTDOWN_TIMEOUT_MS: "5000" };

/**
 * Starts a broker on a free port, with an embedded Postgres in a temporary folder of its own. Everything ends with
 * `stop`, with `await using`, or with the process. Rejects with a readable Error where there is no Postgres to be had.
 */
export async function startTestBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  await using undo = new Undo();
  const tokens = { workerToken: `worker-${randomUUID()}`, apiToken: `api-${randomUUID()}` };
  const config = loadConfig({
    ...QUICK,
    PORT: "0",
    INTERNAL_WORKER_TOKEN: tokens.workerToken,
    INTERNAL_API_TOKEN: tokens.apiToken,
    ...options.settings,
  });
  const databaseUrl = options.databaseUrl ?? (await startPostgres(undo));
  await migrate(databaseUrl);
  const log = options.logger ?? pino({ level: "silent" });
  const broker = await startBroker({ config, databaseUrl, log, settings: shownSettings(config) });
  undo.by(() => broker.stop());
  const steps = undo.take();
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= run(steps);
    return stopped;
  };
  return { url: broker.url, ...tokens, databaseUrl, stop, [Symbol.asyncDispose]: stop };
}

async function startPostgres(undo: Undo): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "ai-job-broker-test-"));
  undo.by(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const postgres = await startEmbeddedPostgres({ dataDir: join(folder, "data"), durable: false });
  undo.by(() => postgres.stop());
  return postgres.url;
}

/** What is to be undone, the newest first; all of it where a start fails half-way. */
class Undo implements AsyncDisposable {
  #steps: (() => Promise<unknown>)[] = [];

  by(step: () => Promise<unknown>): void {
    this.#steps.unshift(step);
  }

  take(): (() => Promise<unknown>)[] {
    return this.#steps.splice(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run(this.take());
  }
}

async function run(steps: (() => Promise<unknown>)[]): Promise<void> {
  for (const step of steps) await step();
}
