/** GET …/job/next/: one job for a worker that polls. */
import type { Logger } from "pino";
import type { Moves } from "../dispatch/moves.ts";
import type { Lease } from "../store/rows.ts";
import { loads, NO_LIMITS } from "./python-json.ts";
import { isTruthy, type PyValue } from "./python-text.ts";

/** Nothing to do. */
export const NO_JOB: PyValue = new Map([["job", null]]);

export interface NextOptions {
  moves: Pick<Moves, "legacyNext" | "release">;
  log: Logger;
}

/**
 * Claims a job and gives it to `deliver`, which tells whether the caller got it. A job that did not reach the caller
 * goes back, unburnt.
 */
export async function next(
  { moves, log }: NextOptions,
  workerId: string,
  deliver: (body: PyValue) => Promise<boolean>,
): Promise<void> {
  const lease = await moves.legacyNext(workerId);
  let delivered = false;
  try {
    delivered = await deliver(lease === null ? NO_JOB : new Map([["job", jobOf(lease)]]));
  } finally {
    if (lease !== null && !delivered) {
      await moves.release(workerId, [{ jobId: lease.jobId, token: lease.token }], "caller left").catch((err) => {
        log.warn(
          { err, job_id: lease.jobId, worker: workerId },
          "a job whose caller left was not given back; its lease runs out",
        );
      });
    }
  }
}

function jobOf(lease: Lease): PyValue {
  const payload = loads(lease.payload, NO_LIMITS);
  return new Map<string, PyValue>([
    ["id", lease.jobId],
    ["type", lease.type],
    ["payload", isTruthy(payload) ? payload : new Map()],
    ["tenant_id", lease.tenantId],
    ["source_domain", lease.sourceDomain],
    ["source_id", lease.sourceId],
  ]);
}
