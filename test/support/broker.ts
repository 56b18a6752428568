/** A whole broker on a test's database and a free port, and clients that call it over gRPC. */
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import pino from "pino";
import { type RunningBroker, startBroker } from "../../src/broker.ts";
import { loadConfig, shownSettings } from "../../src/config.ts";
import { AdminService } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { repeated, repeats, wayTo } from "./flaky-store.ts";
import { withToken } from "./rpc-clients.ts";

export const WORKER_TOKEN = "story-worker-token";
export const API_TOKEN = "story-api-token";

export interface TestBroker extends RunningBroker, AsyncDisposable {
  worker: Client<typeof WorkerService>;
  jobs: Client<typeof JobService>;
  admin: Client<typeof AdminService>;
  health: Client<typeof Health>;
  /** Everything that was logged, one JSON text a line. */
  lines: string[];
  /** A call of the REST shim, as a legacy worker makes it. */
  rest(method: string, path: string, body?: unknown, workerId?: string): Promise<{ status: number; body: unknown }>;
}

/** Settings are named as in the environment. */
export async function startTestBroker(databaseUrl: string, env: Record<string, string> = {}): Promise<TestBroker> {
  const lines: string[] = [];
  const config = loadConfig({
    INTERNAL_WORKER_TOKEN: WORKER_TOKEN,
    INTERNAL_API_TOKEN: API_TOKEN,
    PORT: "0",
    RECLAIM_EVERY_MS: "20",
    POLL_EVERY_MS: "50",
    SHUTDOWN_TIMEOUT_MS: "5000",
    ...env,
  });
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(line) });
  const way = await wayTo(databaseUrl);
  const broker = await startBroker({ config, databaseUrl: way.url, log, settings: shownSettings(config) });
  const again = repeats();
  const transport = (token: string): Transport =>
    createGrpcTransport({ baseUrl: broker.url, interceptors: [...again, withToken(token)] });
  const api = transport(API_TOKEN);
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= broker.stop().finally(way.close));
  return {
    ...broker,
    stop,
    lines,
    worker: createClient(WorkerService, transport(WORKER_TOKEN)),
    jobs: createClient(JobService, api),
    admin: createClient(AdminService, api),
    health: createClient(Health, transport("")),
    rest: (method, path, body, workerId = "old-1") =>
      repeated(async () => {
        const response = await fetch(`${broker.url}/api/v1/internal/ai/job/${path}/`, {
          method,
          headers: { "x-worker-token": WORKER_TOKEN, "x-worker-id": workerId, "content-type": "application/json" },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        return { status: response.status, body: await response.json() };
      }),
    [Symbol.asyncDispose]: stop,
  };
}
