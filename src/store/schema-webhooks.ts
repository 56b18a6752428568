/** The tables of webhooks and of what they are still to be told. */
import {
  bigint,
  customType,
  foreignKey,
  index,
  integer,
  pgTable,
  primaryKey,
  sql,
  text,
  timestamp,
  varchar,
} from "./drizzle.ts";

const time = (name: string) => timestamp(name, { withTimezone: true });
const snapshot = customType<{ data: string }>({ dataType: () => "pg_snapshot" });
const xid8 = customType<{ data: string }>({ dataType: () => "xid8" });

/** Who is told of events: an endpoint, or a handler within a broker's own process. */
export const aiWebhook = pgTable("ai_webhook", {
  /** wh_… of an endpoint, handler:NAME of a handler. */
  id: varchar("id", { length: 64 }).primaryKey(),
  /** Null, with the secret: a handler. */
  url: text("url"),
  secret: text("secret"),
  /** Empty: all of them. */
  types: text("types").array().notNull(),
  kinds: text("kinds").array().notNull(),
  createdAt: time("created_at").notNull().defaultNow(),
  /** What had committed when it was made is not told. */
  born: snapshot("born").notNull().default(sql`pg_current_snapshot()`),
  /** Nothing is sent any more. */
  disabledAt: time("disabled_at"),
  disabledReason: varchar("disabled_reason", { length: 500 }),
  /** A place in ai_event: what comes behind has not been looked at for this webhook. */
  xid: xid8("xid").notNull(),
  eventId: bigint("event_id", { mode: "number" }).notNull(),
  /** Failed tries in a row, and until when nothing is sent after too many of them. */
  failures: integer("failures").notNull().default(0),
  openUntil: time("open_until"),
  lastStatus: integer("last_status"),
  lastError: varchar("last_error", { length: 500 }),
  lastErrorAt: time("last_error_at"),
  lastDeliveredAt: time("last_delivered_at"),
});

/** One event for one webhook, as it was: there until it is delivered. */
export const aiDelivery = pgTable(
  "ai_delivery",
  {
    webhookId: varchar("webhook_id", { length: 64 }).notNull(),
    jobId: varchar("job_id", { length: 64 }).notNull(),
    seq: bigint("seq", { mode: "number" }).notNull(),
    /** Grows with seq; and another life of the same job_id, after retention, has other ones. */
    eventId: bigint("event_id", { mode: "number" }).notNull(),
    at: time("at").notNull(),
    kind: varchar("kind", { length: 16 }).notNull(),
    jobType: varchar("job_type", { length: 50 }).notNull(),
    attempt: integer("attempt").notNull(),
    tenantId: varchar("tenant_id", { length: 64 }),
    sourceDomain: varchar("source_domain", { length: 64 }),
    sourceId: varchar("source_id", { length: 64 }),
    workerId: varchar("worker_id", { length: 128 }),
    error: text("error"),
    /** From when on it is tried: a redelivery begins anew. */
    wantedAt: time("wanted_at").notNull().defaultNow(),
    tries: integer("tries").notNull().default(0),
    nextAt: time("next_at").notNull().defaultNow(),
    /** The broker that sends it now, and until when no other may. */
    claimedBy: varchar("claimed_by", { length: 64 }),
    claimedUntil: time("claimed_until"),
    lastStatus: integer("last_status"),
    lastError: varchar("last_error", { length: 500 }),
    /** Given up: it stays for a redelivery by hand. */
    deadAt: time("dead_at"),
  },
  (t) => [
    primaryKey({ name: "ai_delivery_pkey", columns: [t.webhookId, t.jobId, t.eventId] }),
    index("ai_delivery_due_idx").on(t.webhookId, t.nextAt).where(sql`${t.deadAt} IS NULL`),
    index("ai_delivery_dead_idx").on(t.webhookId, t.deadAt).where(sql`${t.deadAt} IS NOT NULL`),
    index("ai_delivery_wanted_idx").on(t.wantedAt).where(sql`${t.deadAt} IS NULL`),
    foreignKey({ name: "ai_delivery_webhook_fk", columns: [t.webhookId], foreignColumns: [aiWebhook.id] }).onDelete(
      "cascade",
    ),
  ],
);
