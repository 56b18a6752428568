/**
 * The demo's processes in one temporary folder: Postgres, two brokers on it, four workers. The database belongs to the
 * demo itself, so that a broker can be restarted without taking it away from the other.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Caller } from "../../client/caller.ts";
import { createClient, type KnownJobTypes } from "../../client/index.ts";
import { startEmbeddedPostgres } from "../../store/embedded.ts";
import { migrate } from "../../store/migrate.ts";
import { aborted } from "./aborted.ts";
import { openBoard } from "./board.ts";
import { type Broker, openBrokers } from "./brokers.ts";
import type { Ledger } from "./ledger.ts";
import { gatherLanguages } from "./reader.ts";
import type { Sights } from "./show.ts";
import { openSwitchboard } from "./switchboard.ts";
import { startWorker, type Way, type WorkerProcess } from "./worker-process.ts";

const WORKER_TOKEN = "demo-worker";
const PRODUCER_TOKEN = "demo-producer";

const SETTINGS = {
  HOST: "127.0.0.1",
  INTERNAL_WORKER_TOKEN: WORKER_TOKEN,
  INTERNAL_API_TOKEN: PRODUCER_TOKEN,
  // Short, so that nobody has to wait two minutes for a dead worker's job.
  LEASE_TTL_MS: "4000",
  SHIM_LEASE_TTL_MS: "30000",
  RECLAIM_EVERY_MS: "50",
  BACKOFF_BASE_MS: "1000",
  SHUTDOWN_TIMEOUT_MS: "8000",
};

export interface Stage extends Sights {
  postgresVersion: string;
  /** Where image_path starts: what is copied here counts as uploaded. */
  imageDir: string;
}

export interface Workers {
  ocr1: WorkerProcess;
  ocr2: WorkerProcess;
  text1: WorkerProcess;
  legacy1: WorkerProcess;
}

/** What each worker takes. A legacy worker cannot choose. */
const TAKES: Record<keyof Workers, string[]> = {
  ocr1: ["ocr"],
  ocr2: ["ocr"],
  text1: ["embedding", "problem_generation"],
  legacy1: [],
};

/** The program of a broker: src/main.ts in a checkout, dist/main.js in the package. */
export const BROKER_ENTRY = fileURLToPath(new URL(`../../main${extname(import.meta.url)}`, import.meta.url));

/** Starts the worker processes; they wait for `openStage`. They end with the stack. */
export function startWorkers(ledger: Ledger, stack: AsyncDisposableStack): Workers {
  const start = (id: string, by: Way) => {
    const worker = startWorker(id, by, ledger);
    stack.defer(() => worker.kill());
    return worker;
  };
  return {
    ocr1: start("ocr-1", "stream"),
    ocr2: start("ocr-2", "stream"),
    text1: start("text-1", "stream"),
    legacy1: start("legacy-1", "REST"),
  };
}

export interface StageOptions {
  brokerEntry: string;
  workers: Workers;
  ledger: Ledger;
  /** In the order of the board's rows. */
  sheets: string[];
  signal: AbortSignal;
}

/** Starts all but the workers; resolves when those are ready for `go`, too. What was started ends with the stack. */
export async function openStage(options: StageOptions, stack: AsyncDisposableStack): Promise<Stage> {
  const { brokerEntry, workers, ledger, sheets, signal } = options;
  const folder = await mkdtemp(join(tmpdir(), "ai-job-broker-demo-"));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const imageDir = join(folder, "images");
  await mkdir(imageDir);
  await castWorkers(workers, imageDir, join(folder, "languages"));
  const postgres = await startEmbeddedPostgres({ dataDir: join(folder, "data") });
  stack.defer(() => postgres.stop());
  await migrate(postgres.url);
  signal.throwIfAborted();
  const brokers = await openBrokers(
    {
      entry: brokerEntry,
      folder,
      settings: { ...SETTINGS, DATABASE_URL: postgres.url },
      onLine: (broker, line) => ledger.logged(broker, line),
      onPids: (pids) => tellAll(workers, { kind: "brokers", pids }),
      signal,
    },
    stack,
  );
  const sights = openSights(brokers, workers.legacy1.id, sheets, stack);
  await Promise.race([Promise.all(Object.values(workers).map(({ ready }) => ready)), aborted(signal)]);
  return { ...sights, postgresVersion: postgres.version, imageDir };
}

async function castWorkers(workers: Workers, imageDir: string, languageDir: string): Promise<void> {
  await gatherLanguages(languageDir);
  for (const [part, worker] of Object.entries(workers) as [keyof Workers, WorkerProcess][]) {
    const cast = { workerId: worker.id, token: WORKER_TOKEN, types: TAKES[part], imageDir, languageDir };
    worker.tell({ kind: "cast", ...cast });
  }
}

function tellAll(workers: Workers, order: Parameters<WorkerProcess["tell"]>[0]): void {
  for (const worker of Object.values(workers)) worker.tell(order);
}

/** The producer's side: all that the demo knows of its jobs and workers it asks one broker or the other. */
function openSights(brokers: Broker[], pollerId: string, sheets: string[], stack: AsyncDisposableStack): Sights {
  const access = { url: brokers.map(({ url }) => url), token: PRODUCER_TOKEN };
  const client = stack.use(createClient<KnownJobTypes>(access));
  const caller = new Caller({ ...access, transport: "grpc-js" });
  stack.defer(() => caller.close());
  const polling = new Map(brokers.slice(0, 1).map((broker) => [pollerId, broker]));
  return { board: openBoard(client, caller, sheets), brokers, switchboard: openSwitchboard(caller, brokers, polling) };
}
