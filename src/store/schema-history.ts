/** The tables of what happened over time. */
import {
  bigint,
  boolean,
  check,
  customType,
  doublePrecision,
  integer,
  pgTable,
  primaryKey,
  sql,
  timestamp,
  varchar,
} from "./drizzle.ts";

const time = (name: string) => timestamp(name, { withTimezone: true });
const count = (name: string) => bigint(name, { mode: "number" }).notNull();
const xid8 = customType<{ data: string }>({ dataType: () => "xid8" });

/** What happened to jobs of a type in a minute, or in five. */
export const aiHistory = pgTable(
  "ai_history",
  {
    /** Seconds that a row stands for: 60 for a day, 300 for a week. */
    stepS: integer("step_s").notNull(),
    at: time("at").notNull(),
    /** Empty: of types that came after the hundredth. */
    jobType: varchar("job_type", { length: 50 }).notNull(),
    dispatched: count("dispatched"),
    started: count("started"),
    retrying: count("retrying"),
    done: count("done"),
    failed: count("failed"),
    cancelled: count("cancelled"),
    /** Histograms (job/histogram.ts) of the jobs that were done; empty: none. */
    waited: doublePrecision("waited").array().notNull(),
    ran: doublePrecision("ran").array().notNull(),
  },
  (t) => [primaryKey({ name: "ai_history_pkey", columns: [t.stepS, t.at, t.jobType] })],
);

/** At most one row: up to where ai_event is counted. */
export const aiHistoryPlace = pgTable(
  "ai_history_place",
  {
    one: boolean("one").primaryKey().default(true),
    xid: xid8("xid").notNull(),
    id: bigint("id", { mode: "number" }).notNull(),
    /** When the newest event that is counted happened. */
    at: time("at"),
  },
  (t) => [check("ai_history_place_one_check", sql`${t.one}`)],
);
