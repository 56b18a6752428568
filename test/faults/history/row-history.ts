/**
 * Keeps each version of the rows that the moves write, within the transaction that writes it: what the database did,
 * beside what its clients were told. Its triggers come last on a table and change nothing that a move reads. The table
 * is logged like any other, so a version is there after a crash if and only if its transaction is.
 */
import type { Sql } from "../../../src/store/db.ts";
import { readLines, writeLines } from "./lines.ts";
import type { FinalRow, RowVersion } from "./rows.ts";

// One row for each version. Sequences never go back, and a job's versions are made under its row lock, so `nth` is the
// order of a job's versions, and of its results and events, which are written under the same lock.
const TABLE = `
CREATE TABLE IF NOT EXISTS test_row_history (
  nth bigserial PRIMARY KEY, at timestamptz NOT NULL, now timestamptz NOT NULL, tx text NOT NULL,
  kind text NOT NULL, change text NOT NULL, id bigint, job text, was text, facts jsonb NOT NULL
)`;

const MICROS = (time: string) => `round(extract(epoch FROM ${time}) * 1000000)::bigint`;

const JOB_FACTS = (row: "NEW" | "OLD") => `jsonb_build_object('status', ${row}.status, 'attempt', ${row}.attempt_count,
  'maxAttempts', ${row}.max_attempts, 'deliveries', ${row}.deliveries, 'returns', ${row}.returns,
  'token', ${row}.lease_token, 'worker', ${row}.locked_by, 'instance', ${row}.instance_id,
  'expiresAt', ${MICROS(`${row}.lease_expires_at`)}, 'lockedAt', ${MICROS(`${row}.locked_at`)},
  'heartbeatAt', ${MICROS(`${row}.last_heartbeat_at`)}, 'nextRunAt', ${MICROS(`${row}.next_run_at`)},
  'settledToken', ${row}.settled_token, 'settledAs', ${row}.settled_as,
  'cancelRequestedAt', ${MICROS(`${row}.cancel_requested_at`)}, 'eventSeq', ${row}.event_seq, 'move', ${row}.move,
  'tenant', ${row}.tenant_id, 'key', ${row}.idempotency_key)`;

// SECURITY DEFINER: a broker's role need not know of this table. The path is fixed, which is what makes that safe.
const keeper = (name: string, schema: string, body: string) => `
CREATE OR REPLACE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, ${schema}, pg_temp AS $body$
BEGIN
  ${body}
  RETURN NULL;
END
$body$`;

const put = (kind: string, id: string, job: string, was: string, facts: string) => `
  INSERT INTO test_row_history (at, now, tx, kind, change, id, job, was, facts)
  VALUES (clock_timestamp(), now(), pg_current_xact_id()::text, '${kind}', TG_OP, ${id}, ${job}, ${was}, ${facts});`;

const JOB = `
  IF TG_OP = 'DELETE' THEN ${put("job", "OLD.id", "OLD.job_id", "OLD.status", JOB_FACTS("OLD"))}
  ELSIF TG_OP = 'UPDATE' THEN ${put("job", "NEW.id", "NEW.job_id", "OLD.status", JOB_FACTS("NEW"))}
  ELSE ${put("job", "NEW.id", "NEW.job_id", "NULL", JOB_FACTS("NEW"))}
  END IF;`;
const RESULT = `
  IF TG_OP = 'DELETE' THEN ${put("result", "OLD.job_id", "NULL", "NULL", "jsonb_build_object('result', OLD.payload::text)")}
  ELSE ${put("result", "NEW.job_id", "NULL", "NULL", "jsonb_build_object('result', NEW.payload::text)")}
  END IF;`;
const EVENT = put(
  "event",
  "NULL",
  "NEW.job_id",
  "NULL",
  "jsonb_build_object('seq', NEW.seq, 'event', NEW.kind, 'attempt', NEW.attempt, 'worker', NEW.worker_id)",
);

const KEPT = [
  { table: "ai_job", on: "INSERT OR UPDATE OR DELETE", body: JOB },
  { table: "ai_result", on: "INSERT OR UPDATE OR DELETE", body: RESULT },
  { table: "ai_event", on: "INSERT", body: EVENT },
];

/** Puts table and triggers in place, before the first job: what was there before has no history. May be called again. */
export async function installRowHistory(sql: Sql): Promise<void> {
  const [row] = await sql`SELECT quote_ident(n.nspname) AS schema FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'ai_job'::regclass`;
  const schema = String(row?.["schema"]);
  await sql.unsafe(TABLE);
  for (const { table, on, body } of KEPT) {
    const name = `test_row_history_${table}`;
    await sql.unsafe(keeper(name, schema, body));
    await sql.unsafe(`DROP TRIGGER IF EXISTS ${name} ON ${table}`);
    await sql.unsafe(`CREATE TRIGGER ${name} AFTER ${on} ON ${table} FOR EACH ROW EXECUTE FUNCTION ${name}()`);
  }
}

/** All versions, in the order in which they were made. */
export async function readRowHistory(sql: Sql): Promise<RowVersion[]> {
  const rows = await sql.unsafe(`
    WITH named AS (SELECT DISTINCT id, job FROM test_row_history WHERE kind = 'job')
    SELECT (jsonb_build_object('nth', h.nth, 'at', ${MICROS("h.at")}, 'now', ${MICROS("h.now")}, 'tx', h.tx,
      'table', h.kind, 'change', h.change, 'job', coalesce(h.job, n.job, '#' || h.id), 'was', h.was) || h.facts)::text AS line
    FROM test_row_history h LEFT JOIN named n ON h.kind = 'result' AND n.id = h.id ORDER BY h.nth`);
  return rows.map((row) => JSON.parse(String(row["line"])) as RowVersion);
}

const JOB_LINE = `'table', 'job', 'id', id, 'job', job_id, 'status', status, 'attempt', attempt_count,
  'token', lease_token, 'eventSeq', event_seq, 'type', job_type, 'priority', priority, 'nextRunAt', ${MICROS("next_run_at")}`;
const READY_LINE = `'table', 'ready', 'id', id, 'type', job_type, 'priority', priority, 'nextRunAt', ${MICROS("run_at")}`;
const LEASE_LINE = `'table', 'lease', 'id', id, 'worker', worker_id, 'expiresAt', ${MICROS("expires_at")}`;
const RESULT_LINE = `'table', 'result', 'id', job_id, 'result', payload::text`;

/** The tables as they stand now, to be read when all has come to rest. */
export async function readFinal(sql: Sql): Promise<FinalRow[]> {
  const rows = await sql.unsafe(`
    SELECT jsonb_build_object(${JOB_LINE})::text AS line FROM ai_job
    UNION ALL SELECT jsonb_build_object(${READY_LINE})::text FROM ai_ready
    UNION ALL SELECT jsonb_build_object(${LEASE_LINE})::text FROM ai_lease
    UNION ALL SELECT jsonb_build_object(${RESULT_LINE})::text FROM ai_result`);
  return rows.map((row) => JSON.parse(String(row["line"])) as FinalRow);
}

/** Rows that do not agree at this moment, in the middle of a run: each move leaves all tables true with its commit. */
export async function readTorn(sql: Sql): Promise<FinalRow[]> {
  const line = (facts: string) => `jsonb_build_object(${facts}, 'at', ${MICROS("now()")})::text`;
  const rows = await sql.unsafe(`
    SELECT ${line(JOB_LINE)} AS line FROM ai_job j
      WHERE status = 'PENDING' AND NOT EXISTS (SELECT FROM ai_ready r WHERE r.id = j.id)
    UNION ALL SELECT ${line(JOB_LINE)} FROM ai_job j
      WHERE status = 'RUNNING' AND NOT EXISTS (SELECT FROM ai_lease l WHERE l.id = j.id)
    UNION ALL SELECT ${line(READY_LINE)} FROM ai_ready r WHERE NOT EXISTS (
      SELECT FROM ai_job j WHERE j.id = r.id AND j.status = 'PENDING' AND j.next_run_at = r.run_at)
    UNION ALL SELECT ${line(LEASE_LINE)} FROM ai_lease l WHERE NOT EXISTS (
      SELECT FROM ai_job j WHERE j.id = l.id AND j.status = 'RUNNING')`);
  return rows.map((row) => JSON.parse(String(row["line"])) as FinalRow);
}

/** Writes rows.jsonl and final.jsonl of a run. */
export async function saveRows(sql: Sql, files: { rows: string; final: string }): Promise<void> {
  writeLines(files.rows, await readRowHistory(sql));
  writeLines(files.final, await readFinal(sql));
}

export function readVersions(file: string): RowVersion[] {
  return readLines(file, (value) => {
    if (!["job", "result", "event"].includes(String(value["table"]))) return "table must be job, result or event";
    if (typeof value["nth"] !== "number" || typeof value["job"] !== "string") return "nth and job must be there";
    return value as unknown as RowVersion;
  });
}

export function readFinalRows(file: string): FinalRow[] {
  return readLines(file, (value) => {
    if (!["job", "ready", "lease", "result"].includes(String(value["table"])))
      return "table must be job, ready, lease or result";
    if (typeof value["id"] !== "number") return "id must be a number";
    return value as unknown as FinalRow;
  });
}
