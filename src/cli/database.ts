/** The database that a broker serves: the one of DATABASE_URL, or an embedded Postgres under DATA_DIR. */
import type { Logger } from "pino";
import type { Config } from "../config.ts";
import { openPool, type Sql } from "../store/db.ts";
import { serverHealth } from "../store/doctor.ts";
import { startEmbeddedPostgres } from "../store/embedded.ts";
import { migrate, schemaState } from "../store/migrate.ts";
import { missingServeRights } from "../store/serve-rights.ts";
import { CliError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";
import { codeOf } from "./explain.ts";

export interface ServedDatabase {
  url: string;
  /** For people: where the data is; no password. */
  where: string;
  /** Stops an embedded Postgres that this process started; nothing else. */
  stop(): Promise<void>;
}

/** A database with the current schema. Embedded it is brought there; a DATABASE_URL is refused until `migrate` has run. */
export async function provideDatabase(config: Config, log: Logger): Promise<ServedDatabase> {
  if (config.databaseUrl !== undefined) return await checkDatabase(config.databaseUrl);
  const database = await startEmbedded(config.dataDir, log);
  try {
    await migrate(database.url, { log: (line) => log.debug(line) });
  } catch (error) {
    await database.stop();
    throw error;
  }
  return database;
}

/** Starts the embedded Postgres, or joins the one that another process runs on the folder. */
export async function startEmbedded(dataDir: string, log: Logger): Promise<ServedDatabase> {
  const embedded = await startEmbeddedPostgres({ dataDir, log: (line) => log.info(line) });
  return { url: embedded.url, where: `embedded Postgres in ${dataDir}`, stop: () => embedded.stop() };
}

async function checkDatabase(url: string): Promise<ServedDatabase> {
  const where = describeUrl(url);
  await withOneConnection(url, async (sql) => {
    const fault = await faultToServe(sql);
    if (fault !== undefined) throw new CliError(EXIT.failed, `${where} is not ready to serve: ${fault}`);
  });
  return { url, where, stop: async () => undefined };
}

/** What keeps a broker from serving this database, with what to do; undefined when nothing does. */
async function faultToServe(sql: Sql): Promise<string | undefined> {
  const { inRecovery, readOnly } = await serverHealth(sql);
  if (inRecovery) return "it is a read-only standby: point DATABASE_URL at the primary";
  if (readOnly) return "it is read-only (default_transaction_read_only is on): switch that off, or use another";
  const missing = await missingServeRights(sql);
  const { state, detail } = await schemaState(sql).catch((error: unknown) => {
    // A role that may not even look at the ledger.
    if (missing.length > 0 && codeOf(error) === "42501") return { state: "current", detail: "" };
    throw error;
  });
  if (state !== "current") return detail;
  if (missing.length === 0) return undefined;
  return `this role may not do all that a broker does; as the owner of the tables run: ${missing.join("; ")}`;
}

/** Opens one connection for a moment. A database that cannot be reached comes out as a CliError that names it. */
export async function withOneConnection<T>(url: string, use: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = openPool(
    { url, statementTimeoutMs: 60_000, lockTimeoutMs: 5000, applicationName: "ai-job-broker-cli" },
    1,
  );
  try {
    return await use(sql);
  } catch (error) {
    throw explainDatabase(error, url);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** What keeps a database out of reach, as a CliError; other errors pass unchanged. */
export function explainDatabase(error: unknown, url: string): unknown {
  const code = codeOf(error) ?? "";
  // Node's codes, postgres.js's CONNECT_TIMEOUT and its like, and Postgres's classes 08, 28, 3D and 57P.
  const isOut = /^(E[A-Z]+|CONNECT.*|CONNECTION.*|08...|28...|3D...|57P..|53300)$/.test(code);
  if (!isOut) return error;
  const why = error instanceof Error ? error.message || code : code;
  return new CliError(EXIT.unreachable, `cannot reach ${describeUrl(url)}: ${why}; check DATABASE_URL and the server`);
}

/** Where a database is, without user and password. */
export function describeUrl(url: string): string {
  const [, hosts = "", path = ""] = /^[a-z]+:\/\/(?:.*@)?([^/?]*)\/?([^?]*)/.exec(url) ?? [];
  return `the database ${path || "postgres"} at ${hosts || "the local socket"} (DATABASE_URL)`;
}
