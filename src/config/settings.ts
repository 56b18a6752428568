/** Every setting: what it is called, what it may be, and what it is when nobody says. In the order of the help. */
import { resolve } from "node:path";
import { z } from "zod";
import { EVENT_KINDS } from "../job/events.ts";
import { ec2Settings } from "./ec2-settings.ts";
import {
  brokerUrl,
  file,
  flag,
  folder,
  names,
  origins,
  postgresUrl,
  type Setting,
  TOKEN,
  tokens,
  whole,
} from "./setting.ts";
import { webhookSettings } from "./webhook-settings.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const MIB = 1024 * 1024;

const RETENTION_MODES = ["delete", "archive"] as const;
const CLIENT = { client: true };
const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

export const settings = z.object({
  databaseUrl: postgresUrl("DATABASE_URL", "the database; unset: an embedded Postgres under DATA_DIR"),
  databaseDirectUrl: postgresUrl(
    "DATABASE_DIRECT_URL",
    "the same database past a pooler in transaction mode, for migrate and LISTEN; unset: DATABASE_URL",
  ),
  dataDir: z
    .string()
    .default(".ai-job-broker")
    .transform((path) => resolve(path))
    .meta({
      setting: {
        env: "DATA_DIR",
        about: "the folder of the embedded Postgres and of the tokens that `dev` makes",
        allowed: "a path",
        fallback: ".ai-job-broker",
      } satisfies Setting,
    }),
  host: z
    .string()
    .regex(/^[A-Za-z0-9.:_-]{1,255}$/)
    .default("127.0.0.1")
    .meta({
      setting: {
        env: "HOST",
        about: "the address to listen on; 0.0.0.0 or :: for all",
        allowed: "an IP address or a host name",
        fallback: "127.0.0.1",
      } satisfies Setting,
    }),
  port: whole("PORT", 50051, 0, 65535, "the port to listen on; 0 picks a free one and prints it"),
  workerTokens: tokens("INTERNAL_WORKER_TOKEN", "what workers and the REST endpoints accept; unset: they are closed"),
  apiTokens: tokens("INTERNAL_API_TOKEN", "what JobService and AdminService accept; unset: they are closed"),
  readTokens: tokens("INTERNAL_READ_TOKEN", "what opens the reads of JobService and AdminService, and no more"),
  openIntrospection: flag("OPEN_INTROSPECTION", true, "health and reflection answer without a token"),
  dashboard: flag("DASHBOARD", true, "the dashboard under /ui/; its data needs a token all the same"),
  dashboardImages: folder(
    "DASHBOARD_IMAGES",
    "a folder whose images the dashboard shows where a job names one; unset: none",
  ),
  metricsOpen: flag("METRICS_OPEN", false, "/metrics answers without one of INTERNAL_API_TOKEN"),
  corsOrigins: origins("CORS_ORIGINS", "browser pages of these origins may call the RPCs; unset: none may"),
  tlsCertFile: file("TLS_CERT_FILE", "PEM certificate chain; with TLS_KEY_FILE the port speaks TLS"),
  tlsKeyFile: file("TLS_KEY_FILE", "PEM private key"),
  tlsClientCaFile: file("TLS_CLIENT_CA_FILE", "PEM certificates; clients must show one that one of these signed"),
  logLevel: z
    .enum(LEVELS)
    .default("info")
    .meta({
      setting: {
        env: "LOG_LEVEL",
        about: "the least level that is logged",
        allowed: LEVELS.join(", "),
        fallback: "info",
      } satisfies Setting,
    }),
  leaseTtlMs: whole("LEASE_TTL_MS", 120_000, 100, DAY, "how long a lease runs from its claim and each heartbeat"),
  shimLeaseTtlMs: whole("SHIM_LEASE_TTL_MS", 120_000, 100, DAY, "the same for legacy workers, which send no heartbeat"),
  defaultMaxAttempts: whole("DEFAULT_MAX_ATTEMPTS", 5, 1, 1000, "attempts of a job whose producer does not say"),
  backoffBaseMs: whole("BACKOFF_BASE_MS", 2000, 0, DAY, "wait after the first failed attempt; doubles with each"),
  backoffMaxMs: whole("BACKOFF_MAX_MS", 120_000, 0, DAY, "the longest such wait, before jitter"),
  backoffJitter: z
    .string()
    .regex(/^(0(\.\d+)?|1(\.0+)?|\.\d+)$/)
    .transform(Number)
    .default(0)
    .meta({
      setting: {
        env: "BACKOFF_JITTER",
        about: "up to this share of the wait is added at random",
        allowed: "a number from 0 to 1",
        fallback: "0",
      } satisfies Setting,
    }),
  maxDeliveries: whole("MAX_DELIVERIES", 20, 1, 10_000, "hand-outs without an attempt spent before a job is FAILED"),
  cancelGraceMs: whole("CANCEL_GRACE_MS", 30_000, 0, DAY, "how long a running job may take to stop once cancelled"),
  reclaimEveryMs: whole("RECLAIM_EVERY_MS", 1000, 10, MINUTE, "how often expired leases are looked for"),
  pollEveryMs: whole("POLL_EVERY_MS", 1000, 10, 1000, "how often waiting claims look for jobs inserted by plain SQL"),
  shutdownTimeoutMs: whole("SHUTDOWN_TIMEOUT_MS", 30_000, 0, 10 * MINUTE, "how long calls may finish after SIGTERM"),
  workMaxStreams: whole("WORK_MAX_STREAMS", 10_000, 0, 100_000, "Work streams on this broker; more are refused"),
  workPingMs: whole("WORK_PING_MS", 20_000, 10, DAY, "a streaming worker that is silent for so long is pinged"),
  workSilenceMs: whole("WORK_SILENCE_MS", 60_000, 20, DAY, "a streaming worker that is silent for so long is gone"),
  workAckTimeoutMs: whole(
    "WORK_ACK_TIMEOUT_MS",
    30_000,
    20,
    DAY,
    "how long a streaming worker may take to ack its jobs",
  ),
  workMaxFramesPerSecond: whole("WORK_MAX_FRAMES_PER_SECOND", 1000, 1, 1e6, "messages from one Work stream"),
  maxPayloadBytes: whole("MAX_PAYLOAD_BYTES", MIB, 2, 64 * MIB, "the largest payload of a job"),
  maxResultBytes: whole("MAX_RESULT_BYTES", 8 * MIB, 2, 128 * MIB, "the largest result of a job"),
  maxRequestBytes: whole("MAX_REQUEST_BYTES", 16 * MIB, 1024, 256 * MIB, "the largest request"),
  maxAnswerBytes: whole("MAX_ANSWER_BYTES", 3 * MIB, 1024, 64 * MIB, "JSON in one Claim answer or list page"),
  shimMaxBodyBytes: whole(
    "SHIM_MAX_BODY",
    8 * MIB,
    1024,
    128 * MIB,
    "the largest body on the REST endpoints, in bytes",
  ),
  strictTypes: flag("STRICT_TYPES", false, "refuse job types other than the six known ones"),
  maxPending: whole("MAX_PENDING", 0, 0, 1e12, "pending jobs before Dispatch answers QUEUE_FULL; 0: no limit"),
  watchMaxStreams: whole("WATCH_MAX_STREAMS", 1000, 0, 100_000, "watchers on this broker; more are refused"),
  watchHeartbeatMs: whole("WATCH_HEARTBEAT_MS", 15_000, 100, DAY, "a watcher hears something at least so often"),
  watchStallMs: whole("WATCH_STALL_MS", 60_000, 100, DAY, "a watcher that reads nothing for so long is ended"),
  eventKinds: names(
    "EVENT_KINDS",
    EVENT_KINDS,
    EVENT_KINDS,
    "events that are kept beside done, failed and cancelled, which always are",
  ),
  eventRetentionDays: whole("EVENT_RETENTION_DAYS", 7, 1, 3650, "how long events are kept"),
  retentionDays: whole("RETENTION_DAYS", 0, 0, 36_500, "ended jobs leave so many days after their end; 0: never"),
  retentionMode: z
    .enum(RETENTION_MODES)
    .default("delete")
    .meta({
      setting: {
        env: "RETENTION_MODE",
        about: "what becomes of them: archive keeps them in the table ai_job_archive",
        allowed: RETENTION_MODES.join(", "),
        fallback: "delete",
      } satisfies Setting,
    }),
  databasePool: whole("DATABASE_POOL", 8, 1, 200, "connections for dispatches, claims and operators"),
  databaseReservedPool: whole("DATABASE_RESERVED_POOL", 4, 1, 200, "connections kept for heartbeats and reports"),
  statementTimeoutMs: whole("STATEMENT_TIMEOUT_MS", 5000, 100, 10 * MINUTE, "the longest a statement may run"),
  lockTimeoutMs: whole("LOCK_TIMEOUT_MS", 1000, 10, 10 * MINUTE, "the longest a statement may wait for a lock"),
  ...webhookSettings,
  ...ec2Settings,
  brokerUrl: brokerUrl(),
  brokerToken: TOKEN.optional().meta({
    setting: {
      env: "BROKER_TOKEN",
      about: "one of INTERNAL_API_TOKEN, for the client commands; unset: what `dev` left in DATA_DIR",
      allowed: "1..512 visible ASCII characters without spaces",
      secret: true,
      client: true,
    } satisfies Setting,
  }),
  brokerCertFile: file("BROKER_CERT_FILE", "PEM certificate that the client commands show to a broker", CLIENT),
  brokerKeyFile: file("BROKER_KEY_FILE", "its PEM private key", CLIENT),
});

export type Settings = z.output<typeof settings>;
export type Key = keyof Settings;
