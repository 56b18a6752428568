/** AdminService: what is going on, and holding types back. */
import type { ServiceImpl } from "@connectrpc/connect";
import type { AdminService } from "../gen/aibroker/v1/admin_service_pb.ts";
import { LIMITS } from "../job/limits.ts";
import { serverFacts } from "../store/server-facts.ts";
import { stats, type TypeStats } from "../store/stats.ts";
import { pauseType, resumeType } from "../store/type-pause.ts";
import { listWorkers, type WorkerRow } from "../store/workers.ts";
import { timestamp } from "./convert.ts";
import { duration } from "./duration.ts";
import { sentHeader } from "./grpc-context.ts";
import { getHistory } from "./history-calls.ts";
import { insightCalls } from "./insight-calls.ts";
import { operatorCalls } from "./operator-calls.ts";
import type { ServiceContext, ServiceLimits } from "./service-context.ts";
import { startWorkers } from "./start-workers.ts";
import { jobType, reason } from "./validate-job.ts";
import { createWatchStats } from "./watch-stats.ts";
import { webhookCalls } from "./webhook-calls.ts";

/** Throws BrokerError; the interceptor of the transport gives it its gRPC code. */
export function createAdminService(ctx: ServiceContext): ServiceImpl<typeof AdminService> {
  const { db, moves, limits, identity } = ctx;
  return {
    async getStats({ includeEnded }) {
      const { types, countedAt } = await stats(db, { includeEnded });
      return { types: types.map(typeStats), countedAt: timestamp(countedAt) };
    },

    async listWorkers() {
      return { workers: workersWithin(await listWorkers(db), limits.maxAnswerBytes) };
    },

    async pauseType(request) {
      const type = jobType("type", request.type);
      const pause = await pauseType(db, type, reason(request.reason));
      return { pause: { ...pause, pausedAt: timestamp(pause.pausedAt) } };
    },

    async resumeType(request) {
      const resumed = await resumeType(db, jobType("type", request.type));
      if (resumed) moves.resumed();
      return { resumed };
    },

    async getServerInfo({ includeSettings }, context) {
      const facts = await serverFacts(db);
      return {
        version: identity.version,
        instanceId: identity.instanceId,
        startedAt: timestamp(identity.startedAt),
        databaseTime: timestamp(facts.now),
        postgresVersion: facts.postgresVersion,
        nodeVersion: process.version,
        limits: serverLimits(limits),
        readOnly: ctx.isReadOnly?.({ get: (name) => sentHeader(context, name) }) ?? false,
        settings: includeSettings ? [...(ctx.settings ?? [])] : [],
      };
    },

    async startWorkers({ instanceIds }) {
      return { results: await startWorkers(ctx, instanceIds) };
    },

    watchStats: createWatchStats(ctx),
    getHistory: (request) => getHistory(ctx, request),
    ...operatorCalls(ctx),
    ...insightCalls(ctx),
    ...webhookCalls(ctx),
  };
}

function typeStats({
  due,
  scheduled,
  running,
  done,
  failed,
  cancelled,
  oldestDueMs,
  oldestDueAt: _,
  ...rest
}: TypeStats) {
  return {
    ...rest,
    due: BigInt(due),
    scheduled: BigInt(scheduled),
    running: BigInt(running),
    done: BigInt(done),
    failed: BigInt(failed),
    cancelled: BigInt(cancelled),
    oldestDue: oldestDueMs === null ? undefined : duration(oldestDueMs),
  };
}

/** Of a stream in an answer: three ids, a number and a time. */
const STREAM_BYTES = 160;

/** The workers as messages; once the answer is as long as it may be, the later ones come without their lists. */
function workersWithin(workers: readonly WorkerRow[], maxBytes: number) {
  let bytes = 0;
  return workers.map((worker) => {
    const full = bytes > maxBytes;
    const jobIds = full ? [] : worker.jobIds;
    const types = full ? [] : worker.types;
    const streams = full ? [] : worker.streams.map((one) => ({ ...one, connectedAt: timestamp(one.connectedAt) }));
    bytes += Buffer.byteLength(worker.workerId) + 64;
    for (const { client } of streams) bytes += Buffer.byteLength(client) + STREAM_BYTES;
    for (const name of [...jobIds, ...types]) bytes += Buffer.byteLength(name) + 2;
    return {
      ...worker,
      jobIds,
      types,
      streams,
      firstSeenAt: timestamp(worker.firstSeenAt),
      lastSeenAt: timestamp(worker.lastSeenAt),
      lastStreamEndedAt: timestamp(worker.lastStreamEndedAt),
    };
  });
}

function serverLimits(limits: ServiceLimits) {
  return {
    leaseTtl: duration(limits.leaseMs),
    shimLeaseTtl: duration(limits.shimLeaseMs),
    maxPayloadBytes: BigInt(limits.maxPayloadBytes),
    maxResultBytes: BigInt(limits.maxResultBytes),
    maxRequestBytes: BigInt(limits.maxRequestBytes),
    maxAnswerBytes: BigInt(limits.maxAnswerBytes),
    maxBatch: LIMITS.batch,
    maxWait: duration(LIMITS.waitMs),
  };
}
