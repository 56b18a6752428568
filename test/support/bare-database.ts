/** Databases without our tables, for what migrate makes of them. Each is gone when its test has ended. */
import { onTestFinished } from "vitest";
import { openPool, type Sql } from "../../src/store/db.ts";
import { freshDatabase } from "./db.ts";
import { type DjangoSchema, djangoMigrate } from "./django.ts";

export interface BareDatabase {
  url: string;
  sql: Sql;
}

/** Nothing in it. */
export async function emptyDatabase(): Promise<BareDatabase> {
  const { url, drop } = await freshDatabase({ empty: true });
  const sql = openPool({ url, statementTimeoutMs: 10_000, lockTimeoutMs: 10_000 }, 3);
  onTestFinished(async () => {
    await sql.end();
    await drop();
  });
  return { url, sql };
}

/** As Django's migrations leave it. */
export async function djangoDatabase(schema: DjangoSchema = {}): Promise<BareDatabase> {
  const database = await emptyDatabase();
  await djangoMigrate(database.sql, schema);
  return database;
}
