/** `test` with a folder for embedded Postgres clusters, and everything that runs on it ended after the test. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test as base, inject } from "vitest";
import { openPool, type Sql } from "../../src/store/db.ts";
import { type EmbeddedOptions, type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/store/embedded.ts";
import { exists, readLock } from "../../src/store/embedded-lock.ts";
import { type Owner, startOwner } from "./owner.ts";
import { until } from "./until.ts";

interface Fixtures {
  /** A folder of the test's own, and in it one for the data. */
  folder: string;
  dataDir: string;
  start(options?: Partial<EmbeddedOptions>): Promise<EmbeddedPostgres>;
  /** The same in a process of its own. */
  startBroker(options?: Partial<EmbeddedOptions>, prefix?: string[]): Promise<Owner>;
  connect(url: string): Sql;
}

export const test = base.extend<Fixtures>({
  folder: async ({}, use) => {
    const folder = await mkdtemp(join(inject("runFolder"), "embedded-"));
    await use(folder);
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  },
  dataDir: async ({ folder }, use) => {
    const dataDir = join(folder, "data");
    await use(dataDir);
    await until("no Postgres is left", async () => !(await isRunning(dataDir)));
  },
  start: async ({ dataDir }, use) => {
    const started: EmbeddedPostgres[] = [];
    await use(async (options) => {
      const postgres = await startEmbeddedPostgres({ dataDir, durable: false, ...options });
      started.push(postgres);
      return postgres;
    });
    for (const postgres of started.reverse()) await postgres.stop();
  },
  startBroker: async ({ dataDir }, use) => {
    const started: Owner[] = [];
    await use(async (options, prefix) => {
      const owner = await startOwner({ dataDir, durable: false, ...options }, prefix);
      started.push(owner);
      return owner;
    });
    for (const owner of started) {
      owner.child.kill("SIGKILL");
      await owner.gone;
    }
  },
  connect: async ({}, use) => {
    const pools: Sql[] = [];
    await use((url) => {
      const pool = openPool({ url, statementTimeoutMs: 10_000, lockTimeoutMs: 5_000 }, 1);
      pools.push(pool);
      return pool;
    });
    await Promise.all(pools.map((pool) => pool.end({ timeout: 1 })));
  },
});

/** The pid in the lock of a data folder. */
export async function postmasterOf(dataDir: string): Promise<number> {
  const lock = await readLock(join(dataDir, "postgres"));
  if (lock === undefined) throw new Error(`No Postgres runs in ${dataDir}.`);
  return lock.pid;
}

/** Whether a Postgres runs there. */
export async function isRunning(dataDir: string): Promise<boolean> {
  const lock = await readLock(join(dataDir, "postgres"));
  if (lock === undefined || !exists(lock.pid)) return false;
  const status = await readFile(`/proc/${lock.pid}/cmdline`, "utf8").catch(() => "");
  return status.includes(dataDir);
}

/** The first row that a statement gives, asked again while the database is away. */
export async function ask(sql: Sql, statement: string): Promise<Record<string, unknown>> {
  return await until(`the database answers ${statement}`, async () => {
    const [row] = await sql.unsafe(statement).catch(() => []);
    return row as Record<string, unknown> | undefined;
  });
}
