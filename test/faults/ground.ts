/** What all cells stand on: a folder, and a Postgres of our own with a database to copy for each cell. */
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withDatabase } from "../../src/store/address.ts";
import { openPool, type Sql } from "../../src/store/db.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/store/embedded.ts";
import { readLock } from "../../src/store/embedded-lock.ts";
import { migrate } from "../../src/store/migrate.ts";
import { installRowHistory } from "./history/row-history.ts";
import type { Address } from "./proxy.ts";

export interface Cluster {
  /** Where it listens. */
  address: Address;
  version: string;
  /** The postmaster's; another one after a kill. */
  pid(): Promise<number>;
  /** Of the database of this name, past all lines. */
  urlOf(database: string): string;
  /** A database with the schema and the row history, for one cell. */
  create(database: string): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Commits are as safe as Postgres has them by default, but for fsync: no cell takes the machine's power away, and a
 * process that is killed leaves its writes with the kernel.
 */
const SETTINGS = { fsync: "off", synchronous_commit: "on", full_page_writes: "on", max_connections: "200" };
const TEMPLATE = "world_template";

export function makeFolder(): string {
  return mkdtempSync(join(tmpdir(), "aibroker-faults-"));
}

export async function openCluster(folder: string, settings: Record<string, string> = {}): Promise<Cluster> {
  const dataDir = join(folder, "data");
  const postgres = await startEmbeddedPostgres({ dataDir, durable: false, settings: { ...SETTINGS, ...settings } });
  const sql = adminPool(postgres.url);
  try {
    await sql`CREATE DATABASE ${sql(TEMPLATE)}`;
    await makeTemplate(withDatabase(postgres.url, TEMPLATE));
  } catch (error) {
    await sql.end({ timeout: 1 });
    await postgres.stop();
    throw error;
  }
  return {
    address: addressOf(postgres),
    version: postgres.version,
    urlOf: (database) => withDatabase(postgres.url, database),
    async pid() {
      const lock = await readLock(join(dataDir, "postgres"));
      if (lock === undefined) throw new Error(`no Postgres runs in ${dataDir}`);
      return lock.pid;
    },
    create: async (database) => void (await sql`CREATE DATABASE ${sql(database)} TEMPLATE ${sql(TEMPLATE)}`),
    async stop() {
      await sql.end({ timeout: 1 });
      await postgres.stop();
    },
  };
}

/** A pool for the programme's own looks, which waits for nobody for long. */
export function adminPool(url: string): Sql {
  return openPool({ url, statementTimeoutMs: 60_000, lockTimeoutMs: 10_000, applicationName: "faults" }, 2);
}

async function makeTemplate(url: string): Promise<void> {
  await migrate(url);
  const sql = adminPool(url);
  try {
    await installRowHistory(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function addressOf({ url }: EmbeddedPostgres): Address {
  const parsed = new URL(url);
  const socket = parsed.searchParams.get("host");
  const port = Number(parsed.port);
  return socket === null ? { port } : { path: join(socket, `.s.PGSQL.${port}`) };
}

/** Takes a folder away, or keeps it for whoever wants to see what went wrong. */
export function clearAway(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** Copies what a cell has left to where the person wants it. */
export function keepAt(folder: string, out: string): void {
  if (existsSync(folder)) cpSync(folder, out, { recursive: true });
}
