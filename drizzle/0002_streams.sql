-- Work streams: who is connected, and which lease was got through which stream. Nothing here rewrites or scans ai_job.
CREATE TABLE "ai_session" (
  "instance_id" varchar(64) PRIMARY KEY,
  "session_id" varchar(64) NOT NULL,
  "epoch" bigint NOT NULL,
  "worker_id" varchar(128) NOT NULL,
  "broker_id" varchar(64) NOT NULL,
  "types" text[] NOT NULL,
  "max_in_flight" integer NOT NULL,
  "client" varchar(128) NOT NULL DEFAULT '',
  "supersedes" integer NOT NULL DEFAULT 0,
  "superseded_at" timestamptz,
  "connected_at" timestamptz NOT NULL DEFAULT now(),
  "ended_at" timestamptz
) WITH (
  fillfactor = 50, autovacuum_vacuum_scale_factor = 0.005, autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_cost_delay = 0
);
--> statement-breakpoint
-- Each broker writes its row every few seconds.
CREATE TABLE "ai_broker" (
  "broker_id" varchar(64) PRIMARY KEY,
  "started_at" timestamptz NOT NULL DEFAULT now(),
  "seen_at" timestamptz NOT NULL DEFAULT now()
) WITH (
  fillfactor = 50, autovacuum_vacuum_scale_factor = 0.005, autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_cost_delay = 0
);
--> statement-breakpoint
-- Last, so that the tables in use are locked for the shortest time: the job first, then its state row, as moves do.
ALTER TABLE "ai_job" ADD COLUMN "instance_id" varchar(64);
--> statement-breakpoint
ALTER TABLE "ai_lease" ADD COLUMN "instance_id" varchar(64);
--> statement-breakpoint
-- As small as the fleet, and no row has an instance yet.
CREATE INDEX "ai_lease_instance_idx" ON "ai_lease" ("instance_id") WHERE "instance_id" IS NOT NULL;
