/** A job as the reads select it: all but the two big texts. */
import type { Status } from "../job/status.ts";
import type { JobRow } from "./rows.ts";
import { aiJob } from "./schema.ts";

/** The columns, by the names that Drizzle gives back. */
export const JOB_COLUMNS = {
  id: aiJob.id,
  jobId: aiJob.jobId,
  type: aiJob.jobType,
  tenantId: aiJob.tenantId,
  sourceDomain: aiJob.sourceDomain,
  sourceId: aiJob.sourceId,
  priority: aiJob.priority,
  maxAttempts: aiJob.maxAttempts,
  runAt: aiJob.nextRunAt,
  idempotencyKey: aiJob.idempotencyKey,
  traceparent: aiJob.traceparent,
  createdAt: aiJob.createdAt,
  status: aiJob.status,
  attemptCount: aiJob.attemptCount,
  lockedBy: aiJob.lockedBy,
  lockedAt: aiJob.lockedAt,
  leaseExpiresAt: aiJob.leaseExpiresAt,
  lastHeartbeatAt: aiJob.lastHeartbeatAt,
  updatedAt: aiJob.updatedAt,
  finishedAt: aiJob.finishedAt,
  lastError: aiJob.lastError,
  errorMessage: aiJob.errorMessage,
  progressPercent: aiJob.progressPercent,
  progressNote: aiJob.progressNote,
  cancelRequestedAt: aiJob.cancelRequestedAt,
  cancelReason: aiJob.cancelReason,
  deliveries: aiJob.deliveries,
} as const;

export type JobSelection = { [K in keyof typeof JOB_COLUMNS]: (typeof JOB_COLUMNS)[K]["_"]["data"] | Absent<K> };
type Absent<K extends keyof typeof JOB_COLUMNS> = (typeof JOB_COLUMNS)[K]["_"]["notNull"] extends true ? never : null;

/** The row without the table's own id, which never leaves the store. */
export function jobRow(selected: JobSelection): JobRow {
  const { id: _, status, progressPercent, progressNote, ...rest } = selected;
  const none = progressPercent === null && progressNote === null;
  return {
    ...rest,
    // Django has no other words for it; a foreign one would be shown as it is.
    status: status as Status,
    progress: none ? null : { percent: progressPercent, note: progressNote },
  };
}
