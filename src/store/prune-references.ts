/** Which jobs must stay since a row of somebody else's table points at them, or at their result. */
import type { Sql } from "./db.ts";

interface Reference {
  /** Ready to stand in a statement, as the columns are. */
  from: string;
  column: string;
  target: "ai_job" | "ai_result";
  target_column: string;
  readable: boolean;
}

/**
 * A condition on job `j`, as SQL: no foreign key of another table would be broken by its end. Django makes such
 * keys without CASCADE, so one such row would fail a whole batch. Keys that cascade, or are set null, are no hindrance.
 * Throws an Error with the GRANT that is missing where this role may not look.
 */
export async function unlessReferenced(sql: Sql): Promise<string> {
  const found = await sql<Reference[]>`
    SELECT c.conrelid::regclass::text AS from, quote_ident(f.attname) AS column, t.relname::text AS target,
      quote_ident(k.attname) AS target_column, has_table_privilege(c.conrelid, 'SELECT') AS readable
    FROM pg_constraint c JOIN pg_class t ON t.oid = c.confrelid
    JOIN pg_attribute f ON f.attrelid = c.conrelid AND f.attnum = c.conkey[1]
    JOIN pg_attribute k ON k.attrelid = c.confrelid AND k.attnum = c.confkey[1]
    WHERE c.contype = 'f' AND c.confdeltype IN ('a', 'r') AND c.conparentid = 0
      AND c.confrelid = ANY (ARRAY[to_regclass('ai_job'), to_regclass('ai_result')]::oid[])
      AND c.conrelid <> to_regclass('ai_result')
    ORDER BY c.oid`;
  const closed = found.filter(({ readable }) => !readable).map(({ from }) => from);
  if (closed.length > 0) {
    const [me] = await sql`SELECT quote_ident(current_user) AS role`;
    const grant = `GRANT SELECT ON ${[...new Set(closed)].join(", ")} TO ${me?.["role"]}`;
    throw new Error(
      `no job can leave (RETENTION_DAYS): other tables may point at jobs, and this role may not look: ${grant}`,
    );
  }
  return ["true", ...found.map((one) => `NOT EXISTS (${pointing(one)})`)].join(" AND ");
}

function pointing({ from, column, target, target_column }: Reference): string {
  const rows = `SELECT FROM ${from} x WHERE x.${column}`;
  if (target === "ai_job") return `${rows} = j.${target_column}`;
  return `${rows} IN (SELECT r.${target_column} FROM ai_result r WHERE r.job_id = j.id)`;
}
