/** WorkerService: claim, heartbeat, report, release. */
import type { ServiceImpl } from "@connectrpc/connect";
import { LeaseVerdict, type WorkerService } from "../gen/aibroker/v1/worker_service_pb.ts";
import { LIMITS } from "../job/limits.ts";
import type { Renewal, Report, Reported } from "../store/rows.ts";
import { claimedJob, timestamp } from "./convert.ts";
import { reportMessage, reportNumber } from "./report-status.ts";
import type { ServiceContext } from "./service-context.ts";
import { text, workerId } from "./validate.ts";
import { beats, claimCall, leaseRefs, reports } from "./validate-worker.ts";

const VERDICTS: Record<Renewal["verdict"], LeaseVerdict> = {
  CONTINUE: LeaseVerdict.CONTINUE,
  CANCEL: LeaseVerdict.CANCEL,
  LOST: LeaseVerdict.LOST,
};

/** Throws BrokerError; the interceptor of the transport gives it its gRPC code. */
export function createWorkerService(ctx: ServiceContext): ServiceImpl<typeof WorkerService> {
  const { moves, limits } = ctx;
  return {
    async claim(request, { signal }) {
      const call = claimCall(request);
      ctx.seen?.(call.workerId, call.types, false);
      const leases = await moves.claim(call, signal);
      if (signal.aborted && leases.length > 0) {
        // Nobody will read this answer: the jobs go back at once, and no attempt is spent.
        const refs = leases.map(({ jobId, token }) => ({ jobId, token }));
        await moves.release(call.workerId, refs, "caller left");
        return { jobs: [] };
      }
      return { jobs: leases.map(claimedJob) };
    },

    async heartbeat(request) {
      const worker = workerId(request.workerId);
      const leases = beats(request.leases);
      ctx.seen?.(worker, null, false);
      const renewals = await moves.heartbeat(worker, leases);
      return {
        leases: renewals.map(({ jobId, verdict, expiresAt }) => ({
          jobId,
          verdict: VERDICTS[verdict],
          leaseExpiresAt: timestamp(expiresAt),
        })),
      };
    },

    async report(request) {
      const worker = workerId(request.workerId);
      const items = reports(request.items, limits);
      ctx.seen?.(worker, null, false);
      const reported = await moves.report(worker, items);
      return { results: reported.map((one, index) => answer(one, items[index] as Report)) };
    },

    async release(request) {
      const worker = workerId(request.workerId);
      const leases = leaseRefs(request.leases);
      const why = text("reason", request.reason, LIMITS.reason);
      ctx.seen?.(worker, null, false);
      const results = await moves.release(worker, leases, why);
      return { results: results.map(({ jobId, released }) => ({ jobId, released })) };
    },
  };
}

function answer(reported: Reported, report: Report) {
  return {
    jobId: reported.jobId,
    status: reportNumber(reported.status),
    message: reportMessage(reported, report),
  };
}
