/** A server with the real edge (gate, interceptor, health, reflection) around services that a test steers. */
import { Code, ConnectError, type ConnectRouter, type ServiceImpl } from "@connectrpc/connect";
import { type Logger, pino } from "pino";
import { BrokerError, badField } from "../../src/errors.ts";
import { AdminService } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { createGate } from "../../src/rpc/auth.ts";
import { createHealth, type HealthState } from "../../src/rpc/health.ts";
import { observeCalls } from "../../src/rpc/observe-calls.ts";
import { createReflection } from "../../src/rpc/reflection.ts";
import { type RunningServer, type ServerOptions, startServer } from "../../src/rpc/server.ts";
import { createTokens } from "../../src/tokens.ts";

export const WORKER_TOKEN = "worker-token-1";
export const API_TOKEN = "api-token-1";
export const SERVICES = [WorkerService, JobService, AdminService, Health, ServerReflection, ServerReflectionAlpha];

export interface FakeServer extends RunningServer, AsyncDisposable {
  health: HealthState;
  /** Resolves when a Claim with wait is in the handler. */
  claimStarted: Promise<void>;
  /** Resolves when that Claim's caller has left before the answer. */
  claimLeft: Promise<void>;
  /** Lets that Claim answer. */
  finishClaim(): void;
  /** Everything that was logged, one JSON text a line. */
  logged: string[];
}

export interface FakeOptions extends Partial<ServerOptions> {
  workerTokens?: string[];
  apiTokens?: string[];
  openIntrospection?: boolean;
}

/**
 * Starts it on a free port. GetJob fails by job_id: see `failures`. Claim with wait hangs until finishClaim; by the
 * worker "deadline" it answers whether the call has one.
 */
export async function fakeServer(options: FakeOptions = {}): Promise<FakeServer> {
  const { workerTokens = [WORKER_TOKEN], apiTokens = [API_TOKEN], openIntrospection = true, ...rest } = options;
  const started = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  const logged: string[] = [];
  const log: Logger = pino({ level: "debug" }, { write: (line: string) => void logged.push(line) });
  const health = createHealth(SERVICES.map((service) => service.typeName));
  health.set(true);
  const server = await startServer({
    host: "127.0.0.1",
    port: 0,
    routes: (router) =>
      register(router, health, { started: started.resolve, left: left.resolve, finish: finish.promise }),
    gate: createGate({
      workerTokens: createTokens(workerTokens),
      apiTokens: createTokens(apiTokens),
      openIntrospection,
    }),
    interceptors: [observeCalls(log)],
    maxMessageBytes: 1024 * 1024,
    log,
    ...rest,
  });
  return Object.assign(Object.create(server) as RunningServer, {
    health,
    claimStarted: started.promise,
    claimLeft: left.promise,
    finishClaim: finish.resolve,
    logged,
    async [Symbol.asyncDispose]() {
      finish.resolve();
      await server.stop(0);
    },
  });
}

/** What GetJob throws for these ids. */
export const failures: Record<string, () => Error> = {
  missing: () => new BrokerError("JOB_NOT_FOUND", "no job has the id missing"),
  bad: () => badField("job_id", "is longer than 64 characters"),
  down: () => new BrokerError("DATABASE_DOWN", "the database cannot be reached"),
  bug: () => new TypeError("secret-payload-in-a-bug"),
  connect: () => new ConnectError("as it is", Code.Aborted),
  surrogate: () => new BrokerError("BAD_FIELD", "type: \ud800 is not text", { field: "type" }),
};

interface LongClaim {
  started(): void;
  left(): void;
  finish: Promise<void>;
}

function register(router: ConnectRouter, health: HealthState, long: LongClaim): void {
  const worker: Partial<ServiceImpl<typeof WorkerService>> = {
    async claim(request, context) {
      if (request.workerId === "deadline") return { jobs: [{ leaseToken: `${context.timeoutMs() !== undefined}` }] };
      if (request.wait !== undefined) {
        context.signal.addEventListener("abort", long.left);
        long.started();
        await long.finish;
        context.signal.removeEventListener("abort", long.left); // It also aborts at the end of a call.
      }
      return { jobs: [{ leaseToken: `lease-of-${request.workerId}` }] };
    },
  };
  const jobs: Partial<ServiceImpl<typeof JobService>> = {
    dispatch: (request) => ({ results: request.jobs.map((job) => ({ jobId: job.type, created: true })) }),
    getJob(request) {
      const failure = failures[request.jobId];
      if (failure !== undefined) throw failure();
      return { job: { job: { id: request.jobId, type: "ocr" } } };
    },
  };
  const reflection = createReflection(SERVICES);
  router.service(WorkerService, worker);
  router.service(JobService, jobs);
  router.service(AdminService, { getServerInfo: () => ({}) });
  router.service(Health, health.service);
  router.service(ServerReflection, reflection.v1);
  router.service(ServerReflectionAlpha, reflection.v1alpha);
}
