import { type Column, getTableColumns, type SQL } from "drizzle-orm";
import { getTableConfig, PgDialect, type PgTable } from "drizzle-orm/pg-core";
import { expect } from "vitest";
import { knownMigrations, migrationFiles } from "../../src/store/migrate-ledger.ts";
import * as schema from "../../src/store/schema.ts";
import { test } from "../support/db.ts";

const tables: PgTable[] = Object.values(schema);

test("schema.ts names every table that the migrations make", async ({ db }) => {
  const rows = await db.sql`SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'ai_step'`;
  expect(tables.map((table) => getTableConfig(table).name).sort()).toEqual(rows.map((row) => row["tablename"]).sort());
});

test("schema.ts and the database agree on each column's name, type, nullability and default", async ({ db }) => {
  for (const table of tables) {
    const { name } = getTableConfig(table);
    const rows = await db.sql`SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
        a.attnotnull AS required, a.attidentity = 'd' AS identity, pg_get_expr(d.adbin, d.adrelid) AS fallback
      FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = ${name}::regclass AND a.attnum > 0 AND NOT a.attisdropped`;
    const found = rows.map((row) => ({ ...(row as unknown as Described), fallback: plain(row["fallback"]) }));
    const declared = Object.values(getTableColumns(table)).map(describeColumn);
    expect(declared.sort(byName), name).toEqual(found.sort(byName));
  }
});

test("schema.ts and the database agree on each index and key", async ({ db }) => {
  for (const table of tables) {
    const { name, indexes, uniqueConstraints, primaryKeys, foreignKeys, checks } = getTableConfig(table);
    const rows = await db.sql`SELECT relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = ${name}::regclass
      UNION ALL SELECT conname FROM pg_constraint WHERE conrelid = ${name}::regclass AND contype IN ('f', 'c')`;
    const declared = [
      ...indexes.map((index) => index.config.name),
      ...uniqueConstraints.map((unique) => unique.name),
      ...(primaryKeys.length > 0 ? primaryKeys.map((key) => key.getName()) : [`${name}_pkey`]),
      ...foreignKeys.map((key) => key.getName()),
      ...checks.map((check) => check.name),
    ];
    expect(declared.sort(), name).toEqual(rows.map((row) => String(row["name"])).sort());
  }
});

test("the journal is in order and knows every file, so no migration is passed over in silence", () => {
  const known = knownMigrations();
  const whens = known.map((migration) => migration.when);
  expect(whens).toEqual([...new Set(whens)].sort((a, b) => a - b));
  expect(known.map((migration) => `${migration.tag}.sql`)).toEqual(migrationFiles().sort());
  expect(known.map((migration) => Number(migration.tag.slice(0, 4)))).toEqual(known.map((_, at) => at));
});

interface Described {
  name: string;
  type: string;
  required: boolean;
  identity: boolean;
  fallback: string | null;
}

const byName = (a: Described, b: Described) => a.name.localeCompare(b.name);

function describeColumn(column: Column): Described {
  const type = column.getSQLType().replace("varchar", "character varying");
  return {
    name: column.name,
    type,
    required: column.notNull,
    identity: (column as { generatedIdentity?: unknown }).generatedIdentity !== undefined,
    fallback: fallbackOf(column.default),
  };
}

function fallbackOf(value: unknown): string | null {
  if (value === undefined) return null;
  if (typeof value === "string") return value;
  const isSql = typeof value === "object" && value !== null && "queryChunks" in value;
  return isSql ? new PgDialect().sqlToQuery(value as SQL).sql : JSON.stringify(value);
}

/** A default without its cast and quotes. */
const plain = (text: string | null) => text?.replace(/::[a-z ]+$/, "").replace(/^'(.*)'$/, "$1") ?? null;
