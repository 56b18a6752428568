/** What all cells stand on: a folder, and a Postgres of our own with a database to copy for each cell. */
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withDatabase } from "../../src/store/address.ts";
import { openLinesPool, type Sql } from "../../src/store/db.ts";
import { startEmbeddedPostgres } from "../../src/store/embedded.ts";
import { readLock } from "../../src/store/embedded-lock.ts";
import { migrateBy, OURS } from "./code.ts";
import { installRowHistory } from "./history/row-history.ts";
import { type Address, addressIn } from "./proxy.ts";

/** One Postgres. */
export interface Server {
  /** Where it listens. */
  address: Address;
  version: string;
  /** The postmaster's; another one after a kill. */
  pid(): Promise<number>;
  /** Of the database of this name, past all lines. */
  urlOf(database: string): string;
  stop(): Promise<void>;
}

/** What worlds stand on. */
export interface Cluster extends Server {
  /** A database with the schema, as the program in that folder makes it, and the row history, for one cell. */
  create(database: string, code: string): Promise<void>;
  /** What a broker is told beside its DATABASE_URL. */
  settingsFor?(database: string): Record<string, string>;
  /** What follows in its DATABASE_URL. */
  urlEnd?: string;
}

/**
 * Commits are as safe as Postgres has them by default, but for fsync: no cell takes the machine's power away, and a
 * process that is killed leaves its writes with the kernel.
 */
const SETTINGS = { fsync: "off", synchronous_commit: "on", full_page_writes: "on", max_connections: "400" };
const TEMPLATE = "world_template";

export function makeFolder(): string {
  return mkdtempSync(join(tmpdir(), "aibroker-faults-"));
}

export async function openCluster(folder: string, settings: Record<string, string> = {}): Promise<Cluster> {
  return await furnish(await startServer(folder, settings));
}

/** A Postgres on the data in the folder, or on new data. */
export async function startServer(folder: string, settings: Record<string, string> = {}): Promise<Server> {
  const dataDir = dataDirOf(folder);
  const postgres = await startEmbeddedPostgres({ dataDir, durable: false, settings: { ...SETTINGS, ...settings } });
  return {
    address: addressIn(postgres.url),
    version: postgres.version,
    urlOf: (database) => withDatabase(postgres.url, database),
    async pid() {
      const lock = await readLock(join(dataDir, "postgres"));
      if (lock === undefined) throw new Error(`no Postgres runs in ${dataDir}`);
      return lock.pid;
    },
    stop: () => postgres.stop(),
  };
}

/** Where the data of a server on this folder lies. */
export function dataDirOf(folder: string): string {
  return join(folder, "data");
}

/** Puts the database that is copied for each cell on a new server. */
export async function furnish(server: Server): Promise<Cluster> {
  const sql = adminPool(server.urlOf("postgres"));
  try {
    await sql`CREATE DATABASE ${sql(TEMPLATE)}`;
    await makeTables(server.urlOf(TEMPLATE), OURS);
  } catch (error) {
    await sql.end({ timeout: 1 });
    await server.stop();
    throw error;
  }
  return {
    ...server,
    async create(database, code) {
      if (code === OURS) return void (await sql`CREATE DATABASE ${sql(database)} TEMPLATE ${sql(TEMPLATE)}`);
      await sql`CREATE DATABASE ${sql(database)}`;
      await makeTables(server.urlOf(database), code);
    },
    async stop() {
      await sql.end({ timeout: 1 });
      await server.stop();
    },
  };
}

/** A pool for the programme's own looks, which waits for nobody for long, and lives through faults as the broker's do. */
export function adminPool(url: string): Sql {
  // A fault may be a transaction that is held open, for longer than a broker's may be idle.
  const settings = { idle_in_transaction_session_timeout: "0" };
  const limits = { statementTimeoutMs: 60_000, lockTimeoutMs: 10_000, applicationName: "faults" };
  return openLinesPool({ url, ...limits }, 2, settings);
}

async function makeTables(url: string, code: string): Promise<void> {
  await migrateBy(code, url);
  const sql = adminPool(url);
  try {
    await installRowHistory(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Takes a folder away, or keeps it for whoever wants to see what went wrong. */
export function clearAway(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** Copies what a cell has left to where the person wants it. */
export function keepAt(folder: string, out: string): void {
  if (existsSync(folder)) cpSync(folder, out, { recursive: true });
}
