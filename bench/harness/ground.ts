/** Where a bench runs: a folder of its own with a durable Postgres in it, for every system that needs one. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withDatabase } from "../../src/store/address.ts";
import { openPool, type Sql } from "../../src/store/db.ts";
import { startEmbeddedPostgres } from "../../src/store/embedded.ts";
import { nowUs } from "./clock.ts";
import { percentile } from "./figures.ts";
import { machineLine } from "./machine.ts";
import type { Watched } from "./used.ts";

export interface Ground extends Watched {
  /** For logs, sockets and what else a system writes. */
  folder: string;
  /** The machine in one line, and how fast its disk is. */
  machine: string;
  /** Makes an empty database; answers its URL. */
  createDatabase(name: string): Promise<string>;
  /** Statements so far in the database of this name, by their text, if they are counted. */
  statements(database: string): Promise<Statement[]>;
  close(): Promise<void>;
}

const COMMITS = 300;

export interface Statement {
  query: string;
  calls: number;
  /** In ms, planning left out. */
  totalMs: number;
}

export interface GroundOptions {
  /** Has Postgres count its statements, which costs it a little. */
  countsStatements?: boolean;
}

/** fsync and synchronous_commit are on, as Postgres has them by default. */
export async function openGround({ countsStatements = false }: GroundOptions = {}): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), "aibroker-bench-"));
  // So that Ctrl-C ends what was started, too.
  process.once("SIGINT", () => process.exit(130));
  const dataDir = join(folder, "data");
  const settings: Record<string, string> = countsStatements ? { shared_preload_libraries: "pg_stat_statements" } : {};
  const postgres = await startEmbeddedPostgres({ dataDir, durable: true, settings });
  const sql = openPool({ url: postgres.url, statementTimeoutMs: 60_000, lockTimeoutMs: 5_000 }, 1);
  let commitMs = 0;
  try {
    await checkDurable(sql);
    if (countsStatements) await sql`CREATE EXTENSION IF NOT EXISTS pg_stat_statements`;
    commitMs = await medianCommitMs(sql);
  } catch (error) {
    await sql.end();
    await postgres.stop();
    throw error;
  }
  return {
    folder,
    machine: `${machineLine(postgres.version)}, where a lone commit takes ${commitMs.toFixed(2)} ms`,
    postgresPid: Number(readFileSync(join(dataDir, "postgres", "postmaster.pid"), "utf8").split("\n")[0]),
    async walBytes() {
      const [row] = await sql<{ bytes: number }[]>`SELECT (pg_current_wal_insert_lsn() - '0/0')::float8 AS bytes`;
      return row?.bytes ?? Number.NaN;
    },
    async createDatabase(name) {
      await sql`CREATE DATABASE ${sql(name)}`;
      return withDatabase(postgres.url, name);
    },
    async statements(database) {
      return await sql<Statement[]>`
        SELECT query, calls::float8 AS calls, total_exec_time AS "totalMs"
        FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
        WHERE d.datname = ${database} ORDER BY calls DESC`;
    },
    async close() {
      await sql.end();
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The statements between two looks, the most frequent first. */
export function statementsSince(before: readonly Statement[], after: readonly Statement[]): Statement[] {
  const earlier = new Map(before.map((statement) => [statement.query, statement]));
  return after
    .map((statement) => {
      const { calls = 0, totalMs = 0 } = earlier.get(statement.query) ?? {};
      return { ...statement, calls: statement.calls - calls, totalMs: statement.totalMs - totalMs };
    })
    .filter(({ calls }) => calls > 0)
    .sort((a, b) => b.calls - a.calls);
}

/** A figure of a Postgres that does not write to disk would be no figure. */
async function checkDurable(sql: Sql): Promise<void> {
  for (const name of ["fsync", "synchronous_commit", "full_page_writes"]) {
    const [row] = await sql<{ value: string }[]>`SELECT current_setting(${name}) AS value`;
    if (row?.value !== "on") throw new Error(`${name} is ${row?.value}: a bench needs it on`);
  }
}

/** One row, one connection: below it no durable dispatch can come. */
async function medianCommitMs(sql: Sql): Promise<number> {
  await sql`CREATE TABLE bench_commit (at bigint)`;
  const times: number[] = [];
  for (let at = 0; at < COMMITS; at++) {
    const startUs = nowUs();
    await sql`INSERT INTO bench_commit VALUES (${at})`;
    times.push((nowUs() - startUs) / 1_000);
  }
  await sql`DROP TABLE bench_commit`;
  return percentile(times, 0.5);
}
