/** The table of ended jobs that have left ai_job (prune.ts). */
import { bigint, index, integer, jsonb, pgTable, text, timestamp, varchar } from "./drizzle.ts";

const time = (name: string) => timestamp(name, { withTimezone: true });

/** Ended jobs and their results as they stood; what a lease or a move needed is left out. */
export const aiJobArchive = pgTable(
  "ai_job_archive",
  {
    id: bigint("id", { mode: "number" }).generatedByDefaultAsIdentity().primaryKey(),
    archivedAt: time("archived_at").notNull().defaultNow(),
    jobId: varchar("job_id", { length: 64 }).notNull(),
    jobType: varchar("job_type", { length: 50 }).notNull(),
    status: varchar("status", { length: 20 }).notNull(),
    payload: jsonb("payload").notNull(),
    result: jsonb("result"),
    /** Null: there was no result row. */
    resultAt: time("result_at"),
    tenantId: varchar("tenant_id", { length: 64 }),
    sourceDomain: varchar("source_domain", { length: 64 }),
    sourceId: varchar("source_id", { length: 64 }),
    priority: integer("priority").notNull(),
    idempotencyKey: varchar("idempotency_key", { length: 64 }),
    traceparent: varchar("traceparent", { length: 128 }),
    attemptCount: integer("attempt_count").notNull(),
    maxAttempts: integer("max_attempts").notNull(),
    deliveries: integer("deliveries").notNull(),
    errorMessage: text("error_message").notNull(),
    lastError: text("last_error").notNull(),
    progressPercent: integer("progress_percent"),
    progressNote: varchar("progress_note", { length: 500 }),
    cancelRequestedAt: time("cancel_requested_at"),
    cancelReason: varchar("cancel_reason", { length: 500 }),
    lockedBy: varchar("locked_by", { length: 128 }),
    lockedAt: time("locked_at"),
    nextRunAt: time("next_run_at").notNull(),
    createdAt: time("created_at").notNull(),
    updatedAt: time("updated_at").notNull(),
    finishedAt: time("finished_at"),
  },
  (t) => [index("ai_job_archive_job_idx").on(t.jobId)],
);
