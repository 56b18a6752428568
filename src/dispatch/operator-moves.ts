/** The moves of operators: ends, new lives, new places in the queue, and jobs that are taken from their workers. */
import { cancel } from "../store/cancel.ts";
import { releaseJobs } from "../store/release.ts";
import { retry } from "../store/retry.ts";
import { update } from "../store/update.ts";
import type { Moves } from "./moves.ts";
import type { MovesOptions } from "./moves-options.ts";
import { NO_RECORDER } from "./recorder.ts";
import { recordedBy, runStatement } from "./statement.ts";
import { traceAll } from "./trace.ts";
import { lookAgain, wake } from "./wake.ts";

type OperatorMove = "cancel" | "retry" | "update" | "releaseJobs" | "resumed";

/** Moves that an operator asks for. */
export function operatorMoves(options: MovesOptions): Pick<Moves, OperatorMove> {
  const { db, log, news, record = NO_RECORDER } = options;
  const run = recordedBy(record);
  return {
    async cancel(jobIds, reason) {
      const cancelled = await run("cancel", () =>
        cancel(db.sql, jobIds, reason, options.cancelGraceMs, options.keptKinds),
      );
      record.cancelled(cancelled);
      traceAll(log, "cancel", cancelled, ({ outcome }) => ({ outcome }));
      for (const c of cancelled) {
        if (c.outcome === "REQUESTED") news.cancelled(c.token, c.instanceId);
      }
      return cancelled;
    },
    async retry(jobIds) {
      const retried = await run("retry", () => retry(db.sql, jobIds, options.keptKinds));
      record.retried(retried);
      traceAll(log, "retry", retried);
      wake(options, retried);
      return retried;
    },
    async update(jobIds, priority) {
      // No state changes, so it is not counted among the moves that metrics know.
      const updated = await runStatement(() => update(db.sql, jobIds, priority));
      const moved = updated.filter(({ type }) => type !== null);
      for (const { jobId: job_id, type } of moved) {
        log.info({ move: "update", job_id, type, priority }, `update ${job_id}: priority ${priority}`);
      }
      // A claim may have passed over a job while it was being moved.
      if (moved.length > 0) lookAgain(options);
      return updated;
    },
    async releaseJobs(jobIds, reason, delayMs) {
      const taking = { reason, delayMs, maxDeliveries: options.maxDeliveries };
      const taken = await run("release", () => releaseJobs(db.reserved, jobIds, taking, options.keptKinds));
      const leases = taken.map(({ jobId, token }) => ({ jobId, token: token ?? "" }));
      record.released(
        leases,
        taken.map((one) => ({ ...one, released: one.outcome === "RELEASED" })),
      );
      traceAll(log, "release", taken, ({ workerId }) => ({ worker: workerId, by: "operator", why: reason }));
      for (const { outcome, token, instanceId } of taken) {
        if (outcome === "RELEASED") news.lost(token, instanceId);
      }
      if (delayMs === 0) wake(options, taken);
      else lookAgain(options);
      return taken;
    },
    // How many of its jobs are due is not known here, so the queue is looked at.
    resumed: () => lookAgain(options),
  };
}
