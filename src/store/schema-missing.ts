/** Whether a database still has what its ledger says it was given. */

import type { Sql } from "./db.ts";
import { getTableConfig, is, PgTable } from "./drizzle.ts";
import * as schema from "./schema.ts";

/** Tables and columns of schema.ts that are not there, by name. */
export async function missingColumns(sql: Sql): Promise<string[]> {
  const tables = Object.values(schema).filter((value) => is(value, PgTable));
  const wanted = tables.flatMap((table) => {
    const { name, columns } = getTableConfig(table);
    return columns.map((column) => [name, column.name] as const);
  });
  const rows = await sql`SELECT w.tab, w.col, to_regclass(w.tab) IS NULL AS whole
    FROM unnest(${wanted.map(([table]) => table)}::text[], ${wanted.map(([, column]) => column)}::text[]) AS w (tab, col)
    WHERE NOT EXISTS (SELECT FROM pg_attribute a
      WHERE a.attrelid = to_regclass(w.tab) AND a.attname = w.col AND NOT a.attisdropped)`;
  const names = rows.map((row) => (row["whole"] ? `table ${row["tab"]}` : `column ${row["tab"]}.${row["col"]}`));
  return [...new Set(names)];
}
