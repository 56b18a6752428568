/**
 * Drizzle, by require() instead of import: for each of its hundred modules, Node 26 parses the package's 179 KB of
 * package.json when they are ES modules, and once when they are not. Measured for the three entries: 0.16 s and 72 MB
 * of RSS against 0.8 s and 286 MB, at each start of a broker or a command (docs/decisions/014).
 */
import { createRequire } from "node:module";

const load = createRequire(import.meta.url);

const orm = load("drizzle-orm") as typeof import("drizzle-orm");
const pgCore = load("drizzle-orm/pg-core") as typeof import("drizzle-orm/pg-core");

export type { SQL } from "drizzle-orm";
export type { PostgresJsDatabase } from "drizzle-orm/postgres-js";
export const { and, asc, desc, eq, gte, inArray, is, lt, sql } = orm;
export const { bigint, boolean, check, customType, doublePrecision, foreignKey, index, integer, jsonb } = pgCore;
export const { getTableConfig, PgTable, pgTable, primaryKey, text, timestamp } = pgCore;
export const { unionAll, unique, uniqueIndex, varchar } = pgCore;
export const { drizzle } = load("drizzle-orm/postgres-js") as typeof import("drizzle-orm/postgres-js");
export const { migrate: runMigrations } = load(
  "drizzle-orm/postgres-js/migrator",
) as typeof import("drizzle-orm/postgres-js/migrator");
export const { readMigrationFiles } = load("drizzle-orm/migrator") as typeof import("drizzle-orm/migrator");
