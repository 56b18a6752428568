-- What happened over time, in numbers, rolled up from ai_event. Nothing here touches ai_job.
CREATE TABLE "ai_history" (
  -- Seconds that a row stands for: 60 for a day, 300 for a week.
  "step_s" integer NOT NULL,
  -- When they begin.
  "at" timestamptz NOT NULL,
  -- Empty: of types that came after the hundredth.
  "job_type" varchar(50) NOT NULL,
  "dispatched" bigint NOT NULL,
  "started" bigint NOT NULL,
  "retrying" bigint NOT NULL,
  "done" bigint NOT NULL,
  "failed" bigint NOT NULL,
  "cancelled" bigint NOT NULL,
  -- Of the jobs that were done: how many waited and ran for how long, by bounds that double (src/job/histogram.ts). Empty:
  -- none. Not whole numbers, since they may stand for a sample.
  "waited" double precision[] NOT NULL,
  "ran" double precision[] NOT NULL,
  CONSTRAINT "ai_history_pkey" PRIMARY KEY ("step_s", "at", "job_type")
) WITH (fillfactor = 70);
--> statement-breakpoint
-- At most one row: a place in ai_event, up to which all is counted, and when the newest of that happened.
CREATE TABLE "ai_history_place" (
  "one" boolean PRIMARY KEY DEFAULT true CONSTRAINT "ai_history_place_one_check" CHECK ("one"),
  "xid" xid8 NOT NULL,
  "id" bigint NOT NULL,
  "at" timestamptz
);
