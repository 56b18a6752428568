/**
 * The tables. ai_job and ai_result are the Django app's, column for column, with additive columns behind; beside them
 * stands one small table per state: who is due is in ai_ready, who runs is in ai_lease. A move deletes the row of one
 * state, inserts the row of the next and updates ai_job, which carries no index on anything that a move changes, so
 * the update stays HOT. Why that halves the cost: docs/decisions/. A test holds this file and drizzle/ together.
 */
import {
  bigint,
  boolean,
  check,
  customType,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  sql,
  text,
  timestamp,
  unique,
  uniqueIndex,
  varchar,
} from "./drizzle.ts";

const time = (name: string) => timestamp(name, { withTimezone: true });
const identity = () => bigint("id", { mode: "number" }).generatedByDefaultAsIdentity().primaryKey();

export const aiJob = pgTable(
  "ai_job",
  {
    id: identity(),
    createdAt: time("created_at").notNull().defaultNow(),
    updatedAt: time("updated_at").notNull().defaultNow(),
    jobId: varchar("job_id", { length: 64 }).notNull(),
    jobType: varchar("job_type", { length: 50 }).notNull(),
    status: varchar("status", { length: 20 }).notNull().default("PENDING"),
    payload: jsonb("payload").notNull().default({}),
    errorMessage: text("error_message").notNull().default(""),
    tenantId: varchar("tenant_id", { length: 64 }),
    sourceDomain: varchar("source_domain", { length: 64 }),
    sourceId: varchar("source_id", { length: 64 }),
    attemptCount: integer("attempt_count").notNull().default(0),
    maxAttempts: integer("max_attempts").notNull().default(5),
    lockedBy: varchar("locked_by", { length: 128 }),
    lockedAt: time("locked_at"),
    leaseExpiresAt: time("lease_expires_at"),
    lastHeartbeatAt: time("last_heartbeat_at"),
    nextRunAt: time("next_run_at").notNull().defaultNow(),
    lastError: text("last_error").notNull().default(""),
    // From here on the broker's own: each nullable or with a constant default, so that Django's inserts go on working.
    priority: integer("priority").notNull().default(0),
    idempotencyKey: varchar("idempotency_key", { length: 64 }),
    traceparent: varchar("traceparent", { length: 128 }),
    /** The fence; null unless a lease of ours is held. */
    leaseToken: text("lease_token"),
    /** Of the Work stream that locked_by got the job through; null: by another way, or not at all. */
    instanceId: varchar("instance_id", { length: 64 }),
    /** Every hand-out; only grows. */
    deliveries: integer("deliveries").notNull().default(0),
    /** Hand-outs in a row that came back without an attempt spent. */
    returns: integer("returns").notNull().default(0),
    progressPercent: integer("progress_percent"),
    progressNote: varchar("progress_note", { length: 500 }),
    cancelRequestedAt: time("cancel_requested_at"),
    cancelReason: varchar("cancel_reason", { length: 500 }),
    /** The token that settled the newest attempt and what it reported, until the next claim. */
    settledToken: text("settled_token"),
    settledAs: varchar("settled_as", { length: 20 }),
    finishedAt: time("finished_at"),
    /** The mark of our own writes: each sets move + 1; the triggers see to all others. */
    move: bigint("move", { mode: "number" }).notNull().default(0),
    /** Counts the job's transitions; the newest event's seq, unless its kind is not kept. */
    eventSeq: bigint("event_seq", { mode: "number" }).notNull().default(0),
  },
  (t) => [
    unique("ai_job_job_id_key").on(t.jobId),
    index("ai_job_source_idx").on(t.sourceDomain, t.sourceId),
    uniqueIndex("ai_job_idempotency_idx")
      .on(sql`coalesce(${t.tenantId}, '')`, t.idempotencyKey)
      .where(sql`${t.idempotencyKey} IS NOT NULL`),
  ],
);

export const aiResult = pgTable(
  "ai_result",
  {
    id: identity(),
    createdAt: time("created_at").notNull().defaultNow(),
    updatedAt: time("updated_at").notNull().defaultNow(),
    payload: jsonb("payload"),
    jobId: bigint("job_id", { mode: "number" }).notNull(),
  },
  // No foreign key: what writes a result holds its job's lock. Django's own stays while its app is there.
  (t) => [unique("ai_result_job_id_key").on(t.jobId)],
);

/** Results of earlier lives of jobs that were retried by hand. */
export const aiResultArchive = pgTable("ai_result_archive", {
  id: identity(),
  jobId: varchar("job_id", { length: 64 }).notNull(),
  status: varchar("status", { length: 20 }).notNull(),
  attemptCount: integer("attempt_count").notNull(),
  errorMessage: text("error_message").notNull(),
  payload: jsonb("payload"),
  createdAt: time("created_at").notNull(),
  archivedAt: time("archived_at").notNull().defaultNow(),
});

/** The PENDING jobs, in claim order. Its rows are never updated, only deleted and inserted. */
export const aiReady = pgTable(
  "ai_ready",
  {
    jobType: varchar("job_type", { length: 50 }).notNull(),
    priority: integer("priority").notNull(),
    runAt: time("run_at").notNull(),
    id: bigint("id", { mode: "number" }).notNull(),
    /** Length of the payload's text, so that a claim can bound its answer without reading it. */
    bytes: integer("bytes").notNull(),
  },
  (t) => [primaryKey({ name: "ai_ready_pkey", columns: [t.jobType, t.priority, t.runAt, t.id] })],
);

/** The RUNNING jobs, as small as the fleet: what the reclaim reads. */
export const aiLease = pgTable(
  "ai_lease",
  {
    id: bigint("id", { mode: "number" }).primaryKey(),
    /** Null: never reclaimed (a running row that Django wrote without an expiry). */
    expiresAt: time("expires_at"),
    workerId: varchar("worker_id", { length: 128 }),
    /** Of the Claim that took it, for the replay of a lost answer. */
    requestId: varchar("request_id", { length: 64 }),
    /** When a requested cancel is carried out although the worker has not stopped. */
    cancelAt: time("cancel_at"),
    /** As in ai_job: what an instance that comes back is asked for. */
    instanceId: varchar("instance_id", { length: 64 }),
  },
  (t) => [
    index("ai_lease_request_idx").on(t.workerId, t.requestId).where(sql`${t.requestId} IS NOT NULL`),
    index("ai_lease_instance_idx").on(t.instanceId).where(sql`${t.instanceId} IS NOT NULL`),
  ],
);

/** The newest Work stream of each instance. One that is not ended lives as long as its broker is seen. */
export const aiSession = pgTable("ai_session", {
  instanceId: varchar("instance_id", { length: 64 }).primaryKey(),
  sessionId: varchar("session_id", { length: 64 }).notNull(),
  /** Counts the instance's sessions. */
  epoch: bigint("epoch", { mode: "number" }).notNull(),
  workerId: varchar("worker_id", { length: 128 }).notNull(),
  brokerId: varchar("broker_id", { length: 64 }).notNull(),
  types: text("types").array().notNull(),
  maxInFlight: integer("max_in_flight").notNull(),
  client: varchar("client", { length: 128 }).notNull().default(""),
  /** How often a live session was replaced in the 5 minutes before superseded_at, that time included. */
  supersedes: integer("supersedes").notNull().default(0),
  supersededAt: time("superseded_at"),
  connectedAt: time("connected_at").notNull().defaultNow(),
  /** Null: connected. */
  endedAt: time("ended_at"),
});

/** Brokers that hold Work streams, as they last said that they are there. */
export const aiBroker = pgTable("ai_broker", {
  brokerId: varchar("broker_id", { length: 64 }).primaryKey(),
  startedAt: time("started_at").notNull().defaultNow(),
  seenAt: time("seen_at").notNull().defaultNow(),
});

/** A 64-bit transaction id, as text; Postgres compares it, we only carry it. */
const xid8 = customType<{ data: string }>({ dataType: () => "xid8" });

/** What happened to each job, one row for each transition of a kind that is kept. */
export const aiEvent = pgTable(
  "ai_event",
  {
    id: bigint("id", { mode: "number" }).generatedByDefaultAsIdentity(),
    /** Of the transaction that wrote it: who reads on goes by (xid, id), since ids commit in any order. */
    xid: xid8("xid").notNull().default(sql`pg_current_xact_id()`),
    at: time("at").notNull().defaultNow(),
    jobId: varchar("job_id", { length: 64 }).notNull(),
    /** The job's event_seq. */
    seq: bigint("seq", { mode: "number" }).notNull(),
    kind: varchar("kind", { length: 16 }).notNull(),
    jobType: varchar("job_type", { length: 50 }).notNull(),
    attempt: integer("attempt").notNull(),
    tenantId: varchar("tenant_id", { length: 64 }),
    sourceDomain: varchar("source_domain", { length: 64 }),
    sourceId: varchar("source_id", { length: 64 }),
    workerId: varchar("worker_id", { length: 128 }),
    error: text("error"),
  },
  (t) => [primaryKey({ name: "ai_event_pkey", columns: [t.xid, t.id] }), index("ai_event_job_idx").on(t.jobId, t.seq)],
);

/** At most one row: events up to here have been removed for their age. */
export const aiEventHorizon = pgTable(
  "ai_event_horizon",
  {
    one: boolean("one").primaryKey().default(true),
    xid: xid8("xid").notNull(),
    id: bigint("id", { mode: "number" }).notNull(),
  },
  (t) => [check("ai_event_horizon_one_check", sql`${t.one}`)],
);

/** Types that are held back. */
export const aiTypePause = pgTable("ai_type_pause", {
  jobType: varchar("job_type", { length: 50 }).primaryKey(),
  pausedAt: time("paused_at").notNull().defaultNow(),
  reason: varchar("reason", { length: 500 }).notNull().default(""),
});

/** Workers as they were last seen. */
export const aiWorker = pgTable("ai_worker", {
  workerId: varchar("worker_id", { length: 128 }).primaryKey(),
  legacy: boolean("legacy").notNull(),
  types: text("types").array().notNull(),
  firstSeenAt: time("first_seen_at").notNull().defaultNow(),
  lastSeenAt: time("last_seen_at").notNull().defaultNow(),
});

/** Which sheets an exam uses: another Django app's table that the seed carries. */
export const examsExamSheet = pgTable(
  "exams_exam_sheet",
  {
    id: identity(),
    examId: integer("exam_id").notNull(),
    sheetId: integer("sheet_id").notNull(),
  },
  (t) => [
    unique("exams_exam_sheet_exam_id_sheet_id_4cb24466_uniq").on(t.examId, t.sheetId),
    index("exams_exam_sheet_exam_id_beb77027").on(t.examId),
    index("exams_exam_sheet_sheet_id_22662208").on(t.sheetId),
    check("exams_exam_sheet_exam_id_check", sql`${t.examId} >= 0`),
    check("exams_exam_sheet_sheet_id_check", sql`${t.sheetId} >= 0`),
  ],
);

export { aiJobArchive } from "./schema-archive.ts";
export { aiEc2Intent } from "./schema-ec2.ts";
export { aiHistory, aiHistoryPlace } from "./schema-history.ts";
export { aiDelivery, aiWebhook } from "./schema-webhooks.ts";
