/** Which migrations there are on disk, and which of them a database has had. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ISql } from "postgres";
import type { Sql } from "./db.ts";
import { readMigrationFiles } from "./drizzle.ts";

/** The same distance in a checkout (src/store) and in the package (dist/store). */
export const MIGRATIONS_FOLDER = fileURLToPath(new URL("../../drizzle", import.meta.url));

export interface Migration {
  tag: string;
  hash: string;
  /** The journal's `when`, by which Drizzle tells what is still to be run. */
  when: number;
}

/** The migrations of this version, oldest first. */
export function knownMigrations(): Migration[] {
  const journal = JSON.parse(readFileSync(`${MIGRATIONS_FOLDER}/meta/_journal.json`, "utf8")) as {
    entries: { tag: string }[];
  };
  const files = readMigrationFiles({ migrationsFolder: MIGRATIONS_FOLDER });
  return files.map((file, at) => ({ tag: journal.entries[at]?.tag ?? "", hash: file.hash, when: file.folderMillis }));
}

/** Every .sql file of the folder, whether the journal knows it or not. */
export function migrationFiles(): string[] {
  return readdirSync(MIGRATIONS_FOLDER).filter((name) => name.endsWith(".sql"));
}

export interface Ledger {
  /** Known migrations that were run. */
  run: Migration[];
  /** Known migrations still to be run. */
  pending: Migration[];
  /** Entries that this version does not know. */
  unknown: { hash: string; when: number }[];
}

/**
 * Contents that a migration has had before: the first 0007 left the same schema and could make a writer the victim of a
 * deadlock while it ran. Databases that had it have had the migration.
 */
const EARLIER: Readonly<Record<string, string>> = {
  e0a591e7a62e5f8b87ba26f5728d5f9bb3ddff05a21331742bb6b3ede2a5d3e9: "0007_results",
};

/** Reads Drizzle's ledger; a database without one has run nothing. */
export async function readLedger(sql: Sql): Promise<Ledger> {
  const known = knownMigrations();
  const [table] = await sql`SELECT to_regclass('drizzle.__drizzle_migrations') IS NOT NULL AS there`;
  const rows = table?.["there"]
    ? await sql`SELECT hash, created_at::text AS at FROM drizzle.__drizzle_migrations ORDER BY created_at`
    : [];
  const hashNow = (hash: string) => known.find(({ tag }) => tag === EARLIER[hash])?.hash ?? hash;
  const found = rows.map((row) => ({ hash: hashNow(String(row["hash"])), when: Number(row["at"]) }));
  const hashes = new Set(found.map(({ hash }) => hash));
  return {
    run: known.filter((migration) => hashes.has(migration.hash)),
    pending: known.filter((migration) => !hashes.has(migration.hash)),
    unknown: found.filter(({ hash }) => !known.some((migration) => migration.hash === hash)),
  };
}

/** Notes the first migration as run on tables that Django made. The ledger is made as Drizzle makes it. */
export async function writeBaseline(sql: ISql): Promise<void> {
  const first = knownMigrations()[0];
  if (first === undefined) throw new Error("drizzle/meta/_journal.json names no migration");
  await sql`CREATE SCHEMA IF NOT EXISTS drizzle`;
  await sql`CREATE TABLE IF NOT EXISTS drizzle.__drizzle_migrations (
    id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)`;
  await sql`INSERT INTO drizzle.__drizzle_migrations (hash, created_at)
    SELECT ${first.hash}, ${String(first.when)}::text::bigint
    WHERE NOT EXISTS (SELECT FROM drizzle.__drizzle_migrations WHERE hash = ${first.hash})`;
}
