/** Read: whether a role may do what a broker does. It need not own the tables. */
import type { Sql } from "./db.ts";

const WRITTEN = [
  "ai_job",
  "ai_result",
  "ai_ready",
  "ai_lease",
  "ai_result_archive",
  "ai_type_pause",
  "ai_worker",
  "ai_session",
  "ai_broker",
  "ai_event",
  "ai_event_horizon",
  "ai_ec2_intent",
  "ai_job_archive",
  "ai_webhook",
  "ai_delivery",
  "ai_history",
  "ai_history_place",
];

/**
 * What the current role lacks to serve, as the GRANTs that mend it; empty when nothing does. Tables that are not there
 * are passed over: that is the schema's matter.
 */
export async function missingServeRights(sql: Sql): Promise<string[]> {
  const rows = await sql`
    WITH ours AS (
      SELECT c.oid, c.oid::regclass::text AS name, CASE WHEN c.relname = ANY(${WRITTEN}::text[])
        THEN '{SELECT,INSERT,UPDATE,DELETE}'::text[] ELSE '{SELECT}' END AS needed
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND (n.nspname = 'drizzle' AND c.relname = '__drizzle_migrations'
        OR pg_table_is_visible(c.oid) AND c.relname = ANY(${[...WRITTEN, "ai_step"]}::text[]))
    )
    SELECT 1 AS place, 'USAGE' AS rights, 'SCHEMA ' || quote_ident(nspname) AS target FROM pg_namespace
      WHERE nspname = 'drizzle' AND NOT has_schema_privilege(oid, 'USAGE')
    UNION ALL SELECT 2, string_agg(r, ', '), name FROM ours, unnest(needed) r
      WHERE NOT has_table_privilege(ours.oid, r) GROUP BY name
    UNION ALL SELECT 3, 'USAGE', 'SEQUENCE ' || s.seqrelid::regclass FROM ours
      JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = ours.oid AND d.deptype = 'a'
      JOIN pg_sequence s ON d.classid = 'pg_class'::regclass AND s.seqrelid = d.objid
      WHERE 'INSERT' = ANY(needed) AND NOT has_sequence_privilege(s.seqrelid, 'USAGE')
    -- Everybody may, unless somebody took it away (durable.ts).
    UNION ALL SELECT 4, 'EXECUTE', 'FUNCTION ' || oid::regprocedure FROM pg_proc
      WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = 'pg_logical_emit_message'
        AND proargtypes[2] = 'text'::regtype AND NOT has_function_privilege(oid, 'EXECUTE')
    ORDER BY 1, 3`;
  if (rows.length === 0) return [];
  const [me] = await sql`SELECT quote_ident(current_user) AS role`;
  return rows.map((row) => `GRANT ${row["rights"]} ON ${row["target"]} TO ${me?.["role"]}`);
}
