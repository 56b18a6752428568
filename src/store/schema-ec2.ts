/** The table of the EC2 starter. */
import { bigint, integer, pgTable, sql, text, timestamp, uniqueIndex, varchar } from "./drizzle.ts";

const time = (name: string) => timestamp(name, { withTimezone: true });

/** Each wish to have a stopped worker instance started; open until ended_at. */
export const aiEc2Intent = pgTable(
  "ai_ec2_intent",
  {
    id: bigint("id", { mode: "number" }).generatedByDefaultAsIdentity().primaryKey(),
    instanceId: varchar("instance_id", { length: 32 }).notNull(),
    /** loop, operator or found. */
    source: varchar("source", { length: 10 }).notNull(),
    reason: varchar("reason", { length: 500 }).notNull(),
    /** Whose turn it is to call EC2, for the how manieth time, and until when. */
    brokerId: varchar("broker_id", { length: 64 }).notNull(),
    tries: integer("tries").notNull().default(1),
    callUntil: time("call_until").notNull(),
    wantedAt: time("wanted_at").notNull().defaultNow(),
    launchedBefore: time("launched_before"),
    knownWorkers: text("known_workers").array().notNull(),
    startedAt: time("started_at"),
    alertedAt: time("alerted_at"),
    endedAt: time("ended_at"),
    outcome: varchar("outcome", { length: 20 }),
    workerId: varchar("worker_id", { length: 128 }),
    workerTypes: text("worker_types").array(),
    restUntil: time("rest_until"),
  },
  (t) => [uniqueIndex("ai_ec2_intent_open_idx").on(t.instanceId).where(sql`${t.endedAt} IS NULL`)],
);
