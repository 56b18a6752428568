/** WorkerService: claim, heartbeat, report, release, and the Work stream. */
import type { ServiceImpl } from "@connectrpc/connect";
import type { WorkerService } from "../gen/aibroker/v1/worker_service_pb.ts";
import { LIMITS } from "../job/limits.ts";
import { claimedJob } from "./convert.ts";
import type { ServiceContext } from "./service-context.ts";
import { text, workerId } from "./validate.ts";
import { beats, claimCall, leaseRefs, reports } from "./validate-worker.ts";
import { createWork } from "./work-stream.ts";
import { renewal, reportResult } from "./worker-answers.ts";

/** Throws BrokerError; the interceptor of the transport gives it its gRPC code. */
export function createWorkerService(ctx: ServiceContext): ServiceImpl<typeof WorkerService> {
  const { moves, limits } = ctx;
  return {
    async claim(request, { signal }) {
      const call = claimCall(request);
      ctx.seen?.(call.workerId, call.types, false);
      return { jobs: (await moves.claim(call, signal)).map(claimedJob) };
    },

    async heartbeat(request) {
      const worker = workerId(request.workerId);
      const leases = beats(request.leases);
      ctx.seen?.(worker, null, false);
      const renewals = await moves.heartbeat(worker, leases);
      return { leases: renewals.map(renewal) };
    },

    async report(request) {
      const worker = workerId(request.workerId);
      const items = reports(request.items, limits);
      ctx.seen?.(worker, null, false);
      const reported = await moves.report(worker, items);
      return { results: reported.map((one, index) => reportResult(one, items[index])) };
    },

    async release(request) {
      const worker = workerId(request.workerId);
      const leases = leaseRefs(request.leases);
      const why = text("reason", request.reason, LIMITS.reason);
      ctx.seen?.(worker, null, false);
      const results = await moves.release(worker, leases, why);
      return { results: results.map(({ jobId, released }) => ({ jobId, released })) };
    },

    work: createWork(ctx),
  };
}
