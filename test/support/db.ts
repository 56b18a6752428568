/** `test` with a database: fresh for each file, empty for each test. */
import { randomBytes } from "node:crypto";
import { test as base, inject } from "vitest";
import { withDatabase } from "../../src/store/address.ts";
import { type Database, openDatabase, openPool } from "../../src/store/db.ts";

export interface FreshDatabase {
  url: string;
  drop(): Promise<void>;
}

/** Creates a database on the run's server: a clone of the migrated one, or one with nothing in it. */
export async function freshDatabase(options: { empty?: boolean } = {}): Promise<FreshDatabase> {
  const admin = inject("adminUrl");
  const name = `aibroker_test_${process.pid}_${randomBytes(4).toString("hex")}`;
  const template = options.empty ? "template0" : inject("template");
  await onServer(admin, `CREATE DATABASE ${name} TEMPLATE ${template} ${inject("copying")}`);
  return {
    url: withDatabase(admin, name),
    drop: () => onServer(admin, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

/**
 * Empties all tables but the ledgers of migrations, and starts their ids at 1. By DELETE while they are small, in one
 * statement: TRUNCATE makes new files for each table and index, 20 ms of kernel time against 1.
 */
export async function truncateAll(db: Database): Promise<void> {
  await db.sql.unsafe(EMPTY_ALL);
}

const EMPTY_ALL = `DO $$
DECLARE
  tables regclass[] := ARRAY(
    SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
      AND relname NOT LIKE '%migrations%' AND relname <> 'ai_step' AND pg_relation_size(oid) > 0);
  name regclass;
BEGIN
  IF (SELECT max(pg_relation_size(t)) FROM unnest(tables) t) > 262144 THEN
    EXECUTE (SELECT 'TRUNCATE ' || string_agg(t::text, ', ') || ' CASCADE' FROM unnest(tables) t);
  ELSE
    FOREACH name IN ARRAY tables LOOP
      EXECUTE 'DELETE FROM ' || name;
    END LOOP;
  END IF;
  PERFORM setval(oid, 1, false) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace;
END $$`;

interface FileFixtures {
  /** The URL of this file's own database, cloned from the migrated template. */
  url: string;
  /** The pools on it, shared by the file's tests. */
  pools: Database;
  /** The same, with all tables empty. */
  db: Database;
}

export const test = base.extend<FileFixtures>({
  url: [
    async ({}, use) => {
      const database = await freshDatabase();
      await use(database.url);
      await database.drop();
    },
    { scope: "file" },
  ],
  pools: [
    async ({ url }, use) => {
      const db = openTestDatabase(url);
      await use(db);
      await db.close();
    },
    { scope: "file" },
  ],
  db: async ({ pools }, use) => {
    await truncateAll(pools);
    await use(pools);
  },
});

/** The pools with a broker's settings, on any URL; the caller closes them. */
export function openTestDatabase(url: string): Database {
  return openDatabase({ url, poolSize: 5, reservedSize: 2, statementTimeoutMs: 10_000, lockTimeoutMs: 5_000 });
}

async function onServer(url: string, statement: string): Promise<void> {
  const sql = openPool({ url, statementTimeoutMs: 60_000, lockTimeoutMs: 60_000 }, 1);
  await sql.unsafe(statement).finally(() => sql.end());
}
