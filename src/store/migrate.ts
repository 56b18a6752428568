/**
 * Brings a database to this version's schema: Drizzle's migrations in one transaction, then the online steps. It may be
 * killed at any point and run again, beside a Django that goes on working on the same tables.
 */

import { finishCutOver } from "./cut-over.ts";
import { openPool, type Sql } from "./db.ts";
import { drizzle, runMigrations } from "./drizzle.ts";
import { MIGRATIONS_FOLDER, readLedger, writeBaseline } from "./migrate-ledger.ts";
import { withMigrateLock } from "./migrate-lock.ts";
import { missingRights } from "./migrate-preflight.ts";
import { type Log, patiently, runSteps } from "./migrate-steps.ts";
import { sqlState } from "./retry-statement.ts";
import { type SchemaState, schemaState } from "./schema-state.ts";

export { type SchemaState, schemaState } from "./schema-state.ts";

export interface MigrateOptions {
  /** What is going on, a line at a time. */
  log?: Log;
  /** Also drops the two indexes that only Django's own claim reads, and the foreign key of results. */
  finishCutOver?: boolean;
  /** How long to wait for another migrate's end; 10 minutes unless told. */
  waitMs?: number;
}

export interface MigrateOutcome {
  /** What the database was. */
  from: SchemaState["state"];
  /** Migrations, steps and dropped indexes; empty when there was nothing to do. */
  done: string[];
  /** One line for a person. */
  detail: string;
}

/** The database is not one that can be migrated; the message names everything that differs. Nothing was changed. */
export class MigrationRefused extends Error {
  override readonly name = "MigrationRefused";
  readonly differences: string[];

  constructor(message: string, differences: string[], cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.differences = differences;
  }
}

// Below Postgres' deadlock_timeout of 1 s: in a deadlock with Django it is always this side that gives way.
const LOCK_TIMEOUT_MS = 800;

/**
 * Migrates the database at `url`. Throws MigrationRefused, with nothing changed, when the database is foreign, half
 * migrated by Django, newer than this version, too old a Postgres, or not ours to change.
 */
export async function migrate(url: string, options: MigrateOptions = {}): Promise<MigrateOutcome> {
  const log = options.log ?? (() => {});
  const pool = { url, statementTimeoutMs: 0, lockTimeoutMs: LOCK_TIMEOUT_MS, applicationName: "ai-job-broker migrate" };
  const sql = openPool(pool, 1);
  // A client of its own, since Drizzle changes the one it is given.
  const forDrizzle = openPool(pool, 1);
  try {
    await refuseServer(sql);
    return await withMigrateLock(sql, { waitMs: options.waitMs ?? 600_000, log }, async () => {
      const before = await examined(sql);
      const done = await runPending(sql, forDrizzle, before, log);
      done.push(...(await runSteps(sql, log)));
      if (options.finishCutOver) done.push(...(await finishCutOver(sql, log)));
      return { from: before.state, done, detail: done.length === 0 ? "nothing to do" : `done: ${done.join(", ")}` };
    });
  } finally {
    await Promise.all([sql.end({ timeout: 5 }), forDrizzle.end({ timeout: 5 })]);
  }
}

async function refuseServer(sql: Sql): Promise<void> {
  const [row] = await sql`SELECT current_setting('server_version_num')::int AS number,
    current_setting('server_version') AS version, pg_is_in_recovery() AS standby`;
  if (Number(row?.["number"]) < 130_000) {
    throw new MigrationRefused(`PostgreSQL ${row?.["version"]} is too old: 13 or newer is needed`, []);
  }
  if (row?.["standby"]) throw new MigrationRefused("this server is a standby: migrate the primary", []);
}

/** What the database is, or a refusal. */
async function examined(sql: Sql): Promise<SchemaState> {
  const missing = await missingRights(sql);
  const refused = `this role may not migrate: ${missing.join("; ")}. Nothing was changed`;
  let before: SchemaState;
  try {
    before = await schemaState(sql);
  } catch (error) {
    // A role that may not even look lacks the rest, too.
    throw missing.length > 0 && sqlState(error) === "42501" ? new MigrationRefused(refused, missing, error) : error;
  }
  if (before.state === "foreign" || before.state === "newer") {
    throw new MigrationRefused(before.detail, before.differences);
  }
  if (before.state !== "current" && missing.length > 0) throw new MigrationRefused(refused, missing);
  return before;
}

async function runPending(sql: Sql, forDrizzle: Sql, before: SchemaState, log: Log): Promise<string[]> {
  const done: string[] = [];
  if (before.state === "django") {
    await sql.begin((tx) => writeBaseline(tx));
    done.push("baseline");
    log("baseline: Django's tables count as the first migration");
  }
  const { pending } = await readLedger(sql);
  if (pending.length === 0) return done;
  const database = drizzle(forDrizzle);
  await patiently(sql, log, () => runMigrations(database, { migrationsFolder: MIGRATIONS_FOLDER }));
  for (const { tag } of pending) log(`migration ${tag}: done`);
  return [...done, ...pending.map((migration) => migration.tag)];
}
