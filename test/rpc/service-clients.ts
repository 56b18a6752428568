/** Clients of the three services without a socket: the whole Connect stack, the errors as a client meets them. */
import {
  type Client,
  type ConnectError,
  createClient,
  createRouterTransport,
  type Interceptor,
} from "@connectrpc/connect";
import { expect } from "vitest";
import type { Moves } from "../../src/dispatch/moves.ts";
import { AdminService } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { createAdminService } from "../../src/rpc/admin-service.ts";
import { toConnectError } from "../../src/rpc/errors.ts";
import { createJobService } from "../../src/rpc/job-service.ts";
import type { ServiceContext, ServiceLimits } from "../../src/rpc/service-context.ts";
import { createWorkerService } from "../../src/rpc/worker-service.ts";
import type { Database } from "../../src/store/db.ts";

export const SERVICE_LIMITS: ServiceLimits = {
  maxPayloadBytes: 1_048_576,
  maxResultBytes: 8_388_608,
  maxRequestBytes: 16_777_216,
  maxAnswerBytes: 3_145_728,
  leaseMs: 120_000,
  shimLeaseMs: 90_000,
  defaultMaxAttempts: 5,
  strictTypes: false,
  pingMs: 20_000,
  silenceMs: 60_000,
  maxWatches: 1_000,
  watchHeartbeatMs: 15_000,
  watchStallMs: 60_000,
  maxFramesPerSecond: 1_000,
  databaseConnections: 16,
};

export const IDENTITY = { version: "0.1.0", instanceId: "one", startedAt: new Date("2026-01-02T03:04:05.678Z") };

export interface ServiceClients {
  worker: Client<typeof WorkerService>;
  jobs: Client<typeof JobService>;
  admin: Client<typeof AdminService>;
}

type Given = "moves" | "seen" | "webhooks" | "startWorkers" | "starts" | "settings" | "isReadOnly";

export interface ServiceOptions extends Pick<ServiceContext, Given> {
  db?: Database;
  limits?: Partial<ServiceLimits>;
}

export function serviceClients(ctx: ServiceOptions): ServiceClients {
  const whole: ServiceContext = {
    ...ctx,
    // Streams have tests of their own, on a real broker.
    streams: undefined as never,
    watches: undefined as never,
    statsWatches: undefined as never,
    // A test without a database shows that the call does not touch it.
    db: ctx.db ?? (undefined as unknown as Database),
    limits: { ...SERVICE_LIMITS, ...ctx.limits },
    identity: IDENTITY,
  };
  const transport = createRouterTransport(
    ({ service }) => {
      service(WorkerService, createWorkerService(whole));
      service(JobService, createJobService(whole));
      service(AdminService, createAdminService(whole));
    },
    { router: { interceptors: [errors] } },
  );
  return {
    worker: createClient(WorkerService, transport),
    jobs: createClient(JobService, transport),
    admin: createClient(AdminService, transport),
  };
}

const errors: Interceptor = (next) => (request) =>
  next(request).catch((error: unknown) => Promise.reject(toConnectError(error)));

export interface Call {
  move: keyof Moves;
  args: unknown[];
}

/** What the moves answer, as far as the services read it. */
type Answers = { [M in keyof Moves]?: (...args: Parameters<Moves[M]>) => Promise<unknown> };

/** Moves that write down what they are called with; each answers with what `answers` has for it. */
export function recordedMoves(answers: Answers = {}): { moves: Moves; calls: Call[] } {
  const calls: Call[] = [];
  const moves = new Proxy({} as Moves, {
    get:
      (_, move: keyof Moves) =>
      async (...args: unknown[]) => {
        calls.push({ move, args });
        return await (answers[move] as ((...given: unknown[]) => unknown) | undefined)?.(...args);
      },
  });
  return { moves, calls };
}

/** Expects that the call is refused for the field, with the reason, in words that match. */
export async function refused(
  call: Promise<unknown>,
  field: string,
  reason: string,
  message: RegExp | string = "",
): Promise<void> {
  const error = await call.then(
    () => expect.fail(`${field} was not refused`),
    (thrown: ConnectError) => thrown,
  );
  const [info] = error.findDetails(ErrorInfoSchema);
  expect({
    reason: info?.reason,
    domain: info?.domain,
    field: info?.metadata["field"],
    says: error.rawMessage,
  }).toEqual({
    reason,
    domain: "aibroker",
    field,
    says: expect.stringMatching(message),
  });
}
