/** The connections to Postgres. Every function of the store takes one of these pools first, so moves compose. */

import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import { addressOf } from "./address.ts";
import { drizzle, type PostgresJsDatabase } from "./drizzle.ts";
import { openLines, type Sql } from "./lines.ts";
import { listening } from "./notify.ts";
import * as schema from "./schema.ts";
import { type EveryTick, everyTick } from "./silence.ts";
import { ENDED_TIMEOUT_MS } from "./statement-timeout.ts";

export type { Sql };

export interface PoolOptions {
  url: string;
  statementTimeoutMs: number;
  lockTimeoutMs: number;
  /** Shown in pg_stat_activity. */
  applicationName?: string;
  /** What Postgres says by the way (NOTICE and above). */
  onNotice?: (message: string) => void;
  /** Told when so many connections at once were given up, since Postgres owed an answer for too long (lines.ts). */
  onSilence?: (connections: number) => void;
  /** For tests, which make their own seconds. */
  everyTick?: EveryTick;
}

export interface DatabaseOptions extends PoolOptions {
  /** Past a pooler, for what needs a session of its own; absent: `url` leads to one. */
  directUrl?: string | undefined;
  /** Connections for dispatches, claims and operators. */
  poolSize: number;
  /** Connections that only heartbeats, reports and releases use, so that a storm of claims cannot starve them. */
  reservedSize: number;
}

export interface Database {
  /** Dispatches, claims and every other move that can wait. */
  sql: Sql;
  /** Heartbeats, reports, releases. */
  reserved: Sql;
  /** Retention and history: one connection, made at its first use, so that neither a claim nor a report waits for it. */
  background: Sql;
  /** Surveys of lanes while a snapshot is held (lane-starts.ts): one connection, made at the first of them. */
  surveys: Sql;
  /** LISTEN: one connection, and a session of its own, which one through a pooler in transaction mode is not. */
  direct: Sql;
  /** Cold paths: lists and statistics. A client of its own, since Drizzle changes the one it is given. */
  drizzle: PostgresJsDatabase<typeof schema>;
  /** Ends the pools; statements under way get 1 s. */
  close(): Promise<void>;
}

/** Opens the pools; no connection is made before the first statement. */
export function openDatabase(options: DatabaseOptions): Database {
  const sql = openLinesPool(options, options.poolSize, HOT);
  const reserved = openLinesPool(options, options.reservedSize, HOT);
  const background = openLinesPool({ ...options, ...BACKGROUND }, 1, HOT);
  const surveys = openLinesPool({ ...options, ...SURVEYS }, 1, HOT);
  const cold = openLinesPool(options, 2, {}, ENDED_TIMEOUT_MS);
  const direct = openPool({ ...options, url: options.directUrl ?? options.url }, 1);
  return {
    sql,
    reserved,
    background,
    surveys,
    direct,
    drizzle: drizzle(cold, { schema }),
    close: async () => {
      await Promise.race([listening(direct), sleep(LISTENING_WITHIN_MS, undefined, { ref: false })]);
      // The bound is needed: a connection that once failed to connect never says that it has ended (postgres.js 3.4.9).
      await Promise.all([sql, reserved, background, surveys, direct, cold].map((pool) => pool.end({ timeout: 1 })));
    },
  };
}

/**
 * Planner settings of the pools that run moves. A move always goes by index, a few rows at a time; a plan that was
 * cached, or costed, while a table was empty must not turn into a scan of a million rows (postgres.md 14). Without jit,
 * since the forbidden plans' costs would start the compiler. One plan for each statement: planning a claim anew took
 * longer than running it (1.0 ms against 0.4 ms).
 */
export const HOT = {
  enable_seqscan: "off",
  enable_hashjoin: "off",
  enable_mergejoin: "off",
  jit: "off",
  plan_cache_mode: "force_generic_plan",
} as const;

// A job may be as large as MAX_RESULT_BYTES allows, and hundreds go at once. Below Postgres' deadlock_timeout of 1 s it is
// this side that gives way to whoever takes a result before its job, as Django's admin does.
const BACKGROUND = { statementTimeoutMs: 60_000, lockTimeoutMs: 800, applicationName: "ai-job-broker background" };

/** A connection that Postgres does not answer is not waited for. */
const LISTENING_WITHIN_MS = 1_000;

/** One passes over all that is dead, which a claim could not within its time. */
const SURVEYS = { statementTimeoutMs: 60_000, applicationName: "ai-job-broker surveys" };

/**
 * For a broker: on connections that are never used again once they broke, or once they are silent for longer than a
 * statement may take: `longestMs`, where some give themselves more time than the others.
 */
export function openLinesPool(options: PoolOptions, max: number, settings: Record<string, string>, longestMs = 0): Sql {
  const client = (own?: Record<string, unknown>) =>
    // One host: the socket is ours, TLS and all, and with several the driver waits for the next one.
    own === undefined
      ? openPool(options, 1, settings)
      : openClient(options, 1, settings, { ...own, host: "localhost", port: 5432, ssl: false });
  return openLines({
    client,
    max,
    connectTimeoutMs: CONNECT_TIMEOUT_S * 1_000,
    silenceMs: ({ connection }) => Math.max(timeoutOf(connection), longestMs) + SILENCE_MS,
    everyTick: options.everyTick ?? everyTick,
    onSilence: options.onSilence,
  });
}

/** In ms, with what stands in the URL's query, which counts before ours; Infinity for none, or another unit. */
function timeoutOf({ statement_timeout }: Partial<Record<string, unknown>>): number {
  const ms = Number(statement_timeout);
  return ms > 0 ? ms : Number.POSITIVE_INFINITY;
}

const CONNECT_TIMEOUT_S = 10;
/** After statement_timeout, for Postgres to say so. */
const SILENCE_MS = 2_000;

/** One pool, with the settings that the library's known traps ask for. */
export function openPool(options: PoolOptions, max: number, settings: Record<string, string> = {}): Sql {
  return openClient(options, max, settings, {});
}

function openClient(options: PoolOptions, max: number, settings: Record<string, string>, own: object): Sql {
  const { url, ...address } = addressOf(options.url);
  return postgres(url, {
    ...address,
    ...own,
    max,
    connect_timeout: CONNECT_TIMEOUT_S,
    // Seconds until the next try: a broker is back as soon as its database is.
    backoff: (tries: number) => Math.min(1, tries * 0.1),
    // At the default of 100, a BEGIN that fills the pipeline leaves its connection unreserved (postgres.js #1189).
    max_pipeline: 1_000_000,
    // An undefined parameter would reject another query that is under way (postgres.js #1082).
    transform: { undefined: null },
    // Asking the server for its array types on each connect is a query of nobody: when it fails, by a time-out or a lost
    // connection, its rejection ends the process. We only pass these two, and read none (arrays parse slowly).
    fetch_types: false,
    types: { texts: textArray(1009), varchars: textArray(1015) },
    onnotice: (notice) => options.onNotice?.(String(notice["message"])),
    connection: {
      application_name: options.applicationName ?? "ai-job-broker",
      statement_timeout: options.statementTimeoutMs,
      lock_timeout: options.lockTimeoutMs,
      idle_in_transaction_session_timeout: 5_000,
      ...settings,
    },
  } as postgres.Options<Record<string, postgres.PostgresType>>);
}

function textArray(oid: number) {
  return {
    to: oid,
    from: [oid],
    serialize: (list: unknown) => (Array.isArray(list) ? arrayLiteral(list) : list),
    parse: (text: string) => text,
  };
}

/** Postgres' text form of a list of texts, where null is NULL. */
function arrayLiteral(list: unknown[]): string {
  let text = "{";
  for (const item of list) {
    if (text.length > 1) text += ",";
    text += item == null ? "NULL" : `"${escaped(String(item))}"`;
  }
  return `${text}}`;
}

/** Most texts need no escape, and to find that out is a third of the cost of a replace. */
function escaped(text: string): string {
  return text.includes('"') || text.includes("\\") ? text.replace(/[\\"]/g, "\\$&") : text;
}
