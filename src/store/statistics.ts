/** Statistics that have fallen far behind: autovacuum looks once a minute, and may be off. */
import type { Sql } from "./db.ts";

/** Pages; a walk through fewer costs nothing. */
const SMALL = 8;
const GROWTH = 10;

/**
 * Analyzes those of our tables that have grown tenfold since they last were, and answers their names. New statistics
 * also make each connection plan its statements anew: a plan from the time of an empty table walks whole indexes.
 */
export async function refreshStatistics(sql: Sql): Promise<string[]> {
  const grown = await sql<{ name: string }[]>`
    SELECT c.relname AS name FROM pg_class c
    WHERE c.oid = ANY (ARRAY['ai_job', 'ai_result', 'ai_ready', 'ai_lease']::regclass[])
      AND pg_relation_size(c.oid) / current_setting('block_size')::int > greatest(${SMALL}::int, ${GROWTH} * c.relpages)`;
  for (const { name } of grown) await sql.unsafe(`ANALYZE ${name}`);
  return grown.map(({ name }) => name);
}
