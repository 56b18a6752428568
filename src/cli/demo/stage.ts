/** The demo's processes, one broker and three workers, in one temporary folder. All end with the stack they are put on. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { AdminService } from "../../gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../../gen/aibroker/v1/job_service_pb.ts";
import { aborted } from "./aborted.ts";
import { type Board, openBoard } from "./board.ts";
import { startBroker } from "./broker-process.ts";
import { connect, insist } from "./grpc.ts";
import { gatherLanguages } from "./reader.ts";
import { type Speech, startWorker, type WorkerProcess } from "./worker-process.ts";

const WORKER_TOKEN = "demo-worker";
const PRODUCER_TOKEN = "demo-producer";

const SETTINGS = {
  HOST: "127.0.0.1",
  PORT: "0",
  INTERNAL_WORKER_TOKEN: WORKER_TOKEN,
  INTERNAL_API_TOKEN: PRODUCER_TOKEN,
  // Short, so that nobody has to wait two minutes for a dead worker's job.
  LEASE_TTL_MS: "3000",
  SHIM_LEASE_TTL_MS: "30000",
  RECLAIM_EVERY_MS: "200",
  BACKOFF_BASE_MS: "1000",
  SHUTDOWN_TIMEOUT_MS: "3000",
};

export interface Stage {
  url: string;
  postgresVersion: string;
  /** Where image_path starts: what is copied here counts as uploaded. */
  imageDir: string;
  board: Board;
  /** Rejects when the broker ends by itself. */
  brokerEnded: Promise<never>;
}

export interface Workers {
  ocr1: WorkerProcess;
  ocr2: WorkerProcess;
  legacy: WorkerProcess;
}

/** The program of the broker: src/main.ts in a checkout, dist/main.js in the package. */
export const BROKER_ENTRY = fileURLToPath(new URL(`../../main${extname(import.meta.url)}`, import.meta.url));

/** Starts the worker processes; they wait for `openStage`. */
export function startWorkers(stack: AsyncDisposableStack): Workers {
  const start = (id: string, speaks: Speech) => {
    const worker = startWorker(id, speaks);
    stack.defer(() => worker.kill());
    return worker;
  };
  return {
    ocr1: start("ocr-1", "gRPC"),
    ocr2: start("ocr-2", "gRPC"),
    legacy: start("legacy-1", "REST"),
  };
}

/** Starts the broker and resolves when every worker is ready for `go`. `sheets` gives the order of the board's rows. */
export async function openStage(
  entry: string,
  workers: Workers,
  sheets: string[],
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), "ai-job-broker-demo-"));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const [imageDir, languageDir] = [join(folder, "images"), join(folder, "languages")];
  await mkdir(imageDir);
  await gatherLanguages(languageDir);
  const broker = await startBroker(entry, folder, { ...SETTINGS, DATA_DIR: join(folder, "data") }, signal);
  stack.defer(() => broker.stop());
  const connection = connect(broker.url, PRODUCER_TOKEN);
  stack.defer(() => connection.close());
  for (const worker of Object.values(workers)) {
    const { url, pid: brokerPid } = broker;
    worker.tell({ kind: "cast", workerId: worker.id, url, token: WORKER_TOKEN, brokerPid, imageDir, languageDir });
  }
  const info = insist(() => connection.service(AdminService).getServerInfo({}));
  const ready = Promise.all([info, ...Object.values(workers).map((worker) => worker.ready)]);
  const [{ postgresVersion }] = await Promise.race([ready, aborted(signal)]);
  const board = openBoard(connection.service(JobService), sheets);
  return { url: broker.url, postgresVersion, imageDir, board, brokerEnded: broker.ended };
}
