-- Who is told of events, and what is still to be told. Nothing here touches ai_job.
CREATE TABLE "ai_webhook" (
  -- wh_… of an endpoint, handler:NAME of a handler within the broker's own process.
  "id" varchar(64) PRIMARY KEY,
  -- Null, with the secret: a handler.
  "url" text,
  "secret" text,
  -- Empty: all of them.
  "types" text[] NOT NULL,
  "kinds" text[] NOT NULL,
  "created_at" timestamptz NOT NULL DEFAULT now(),
  -- What had committed when it was made: not told, although it may stand behind the place that it begins from.
  "born" pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
  -- The endpoint said that it is gone, or an operator is removing it: nothing is sent any more.
  "disabled_at" timestamptz,
  "disabled_reason" varchar(500),
  -- A place in ai_event: what comes behind has not been looked at for this webhook.
  "xid" xid8 NOT NULL,
  "event_id" bigint NOT NULL,
  -- Failed tries in a row, and until when nothing is sent after too many of them.
  "failures" integer NOT NULL DEFAULT 0,
  "open_until" timestamptz,
  "last_status" integer,
  "last_error" varchar(500),
  "last_error_at" timestamptz,
  "last_delivered_at" timestamptz
);
--> statement-breakpoint
-- One event for one webhook, as it was: there until it is delivered, so small while endpoints answer.
CREATE TABLE "ai_delivery" (
  "webhook_id" varchar(64) NOT NULL CONSTRAINT "ai_delivery_webhook_fk" REFERENCES "ai_webhook" ("id") ON DELETE CASCADE,
  "job_id" varchar(64) NOT NULL,
  "seq" bigint NOT NULL,
  -- Grows with seq; and another life of the same job_id, after retention, has other ones.
  "event_id" bigint NOT NULL,
  "at" timestamptz NOT NULL,
  "kind" varchar(16) NOT NULL,
  "job_type" varchar(50) NOT NULL,
  "attempt" integer NOT NULL,
  "tenant_id" varchar(64),
  "source_domain" varchar(64),
  "source_id" varchar(64),
  "worker_id" varchar(128),
  "error" text,
  "wanted_at" timestamptz NOT NULL DEFAULT now(),
  "tries" integer NOT NULL DEFAULT 0,
  "next_at" timestamptz NOT NULL DEFAULT now(),
  -- The broker that sends it now, and until when no other may.
  "claimed_by" varchar(64),
  "claimed_until" timestamptz,
  "last_status" integer,
  "last_error" varchar(500),
  -- Given up: it stays for a redelivery by hand.
  "dead_at" timestamptz,
  CONSTRAINT "ai_delivery_pkey" PRIMARY KEY ("webhook_id", "job_id", "event_id")
);
--> statement-breakpoint
CREATE INDEX "ai_delivery_due_idx" ON "ai_delivery" ("webhook_id", "next_at") WHERE "dead_at" IS NULL;
--> statement-breakpoint
CREATE INDEX "ai_delivery_dead_idx" ON "ai_delivery" ("webhook_id", "dead_at") WHERE "dead_at" IS NOT NULL;
--> statement-breakpoint
CREATE INDEX "ai_delivery_wanted_idx" ON "ai_delivery" ("wanted_at") WHERE "dead_at" IS NULL;
