/**
 * What keeps ai_ready and ai_lease true when somebody else writes ai_job (Django, its admin, plain SQL), and writes the
 * events of jobs that they end. Each statement
 * of ours sets move = move + 1 and moves the state rows itself; whoever leaves `move` alone is seen to here.
 */
import { createHash } from "node:crypto";
import type { ISql } from "postgres";

/** The triggers on ai_job, by name. */
export const TRIGGERS = [
  "ai_job_fence",
  "ai_job_put",
  "ai_job_move",
  "ai_job_gone",
  "ai_job_results",
  "ai_job_clear",
] as const;

/** Their functions; migrate refuses a database where one of these names is taken. */
export const TRIGGER_FUNCTIONS = [
  "ai_job_fence",
  "ai_job_keep_states",
  "ai_job_drop_results",
  "ai_job_clear_states",
] as const;

// Clears token and instance, so that a lease that another writer has ended cannot match again. It moves no state rows: in a
// BEFORE trigger that ends in 27000 and 23505.
const FENCE = `
CREATE OR REPLACE FUNCTION ai_job_fence() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
  NEW.lease_token := NULL;
  NEW.instance_id := NULL;
  IF NEW.status IS DISTINCT FROM OLD.status THEN
    NEW.event_seq := OLD.event_seq + 1;
    IF NEW.status = 'RUNNING' THEN
      NEW.settled_token := NULL;
      NEW.settled_as := NULL;
    END IF;
    -- A new life: a cancel of the last one must not end it. The reason stays, so that doctor can tell.
    IF OLD.status NOT IN ('PENDING', 'RUNNING') AND NEW.status IN ('PENDING', 'RUNNING') THEN
      NEW.cancel_requested_at := NULL;
    END IF;
    NEW.finished_at := CASE WHEN NEW.status IN ('PENDING', 'RUNNING') THEN NULL ELSE now() END;
  END IF;
  RETURN NEW;
END
$body$`;

// SECURITY DEFINER: Django's role may write ai_job and need not know of the small tables. A fixed search_path is what
// makes that safe; enable_seqscan is off so that a plan cached over an empty table does not scan a full one later.
const keepStates = (schema: string) => `
CREATE OR REPLACE FUNCTION ai_job_keep_states() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, ${schema}, pg_temp SET enable_seqscan = off AS $body$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    IF OLD.status = 'PENDING' THEN
      DELETE FROM ai_ready r
      WHERE r.job_type = OLD.job_type AND r.priority = OLD.priority AND r.run_at = OLD.next_run_at AND r.id = OLD.id;
    ELSIF OLD.status = 'RUNNING' AND (TG_OP = 'DELETE' OR NEW.status <> 'RUNNING' OR NEW.id <> OLD.id) THEN
      DELETE FROM ai_lease l WHERE l.id = OLD.id;
    END IF;
  END IF;
  IF TG_OP = 'DELETE' THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'UPDATE' AND NEW.status IN ('DONE', 'FAILED', 'CANCELLED') AND OLD.status <> NEW.status THEN
    INSERT INTO ai_event (job_id, seq, kind, job_type, attempt, tenant_id, source_domain, source_id, worker_id, error)
    VALUES (NEW.job_id, NEW.event_seq, lower(NEW.status), NEW.job_type, NEW.attempt_count, NEW.tenant_id,
      NEW.source_domain, NEW.source_id, OLD.locked_by,
      CASE NEW.status WHEN 'FAILED' THEN left(nullif(NEW.error_message, ''), 1000) END);
  END IF;
  IF NEW.status = 'PENDING' THEN
    INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
    VALUES (NEW.job_type, NEW.priority, NEW.next_run_at, NEW.id, octet_length(NEW.payload::text))
    ON CONFLICT DO NOTHING;
  ELSIF NEW.status = 'RUNNING' THEN
    -- A cancel that was requested stays due; a replay of our own Claim ends here, since the lease is another's now. So
    -- says the instance: the fence has cleared it, unless the lease is still ours.
    INSERT INTO ai_lease (id, expires_at, worker_id, cancel_at, instance_id)
    VALUES (NEW.id, NEW.lease_expires_at, NEW.locked_by,
      CASE WHEN NEW.cancel_requested_at IS NOT NULL THEN now() + interval '30 s' END, NEW.instance_id)
    ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, worker_id = excluded.worker_id, request_id = NULL,
      instance_id = excluded.instance_id;
  END IF;
  RETURN NULL;
END
$body$`;

// A result goes with its job, whoever removes that: no foreign key sees to it where Django is not there.
const dropResults = (schema: string) => `
CREATE OR REPLACE FUNCTION ai_job_drop_results() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, ${schema}, pg_temp SET enable_seqscan = off AS $body$
BEGIN
  DELETE FROM ai_result r WHERE r.job_id = ANY (ARRAY(SELECT id FROM gone));
  RETURN NULL;
END
$body$`;

// DELETE, not TRUNCATE: a claim that has opened ai_ready and waits for ai_job would deadlock with the table lock.
const clearStates = (schema: string) => `
CREATE OR REPLACE FUNCTION ai_job_clear_states() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, ${schema}, pg_temp AS $body$
BEGIN
  DELETE FROM ai_ready;
  DELETE FROM ai_lease;
  DELETE FROM ai_result;
  RETURN NULL;
END
$body$`;

const changed = (columns: string[]) => columns.map((c) => `NEW.${c} IS DISTINCT FROM OLD.${c}`).join(" OR ");
const LEASE_COLUMNS = ["status", "locked_by", "locked_at", "lease_expires_at", "attempt_count"];
const STATE_COLUMNS = [
  "id",
  "status",
  "next_run_at",
  "lease_expires_at",
  "locked_by",
  "job_type",
  "priority",
  "payload",
];

const ATTACH = [
  `CREATE TRIGGER ai_job_fence BEFORE UPDATE OF ${LEASE_COLUMNS.join(", ")} ON ai_job FOR EACH ROW
   WHEN (NEW.move = OLD.move AND (${changed(LEASE_COLUMNS)})) EXECUTE FUNCTION ai_job_fence()`,
  `CREATE TRIGGER ai_job_put AFTER INSERT ON ai_job FOR EACH ROW
   WHEN (NEW.move = 0 AND NEW.status IN ('PENDING', 'RUNNING')) EXECUTE FUNCTION ai_job_keep_states()`,
  `CREATE TRIGGER ai_job_move AFTER UPDATE OF ${STATE_COLUMNS.join(", ")} ON ai_job FOR EACH ROW
   WHEN (NEW.move = OLD.move AND (${changed(STATE_COLUMNS)})) EXECUTE FUNCTION ai_job_keep_states()`,
  `CREATE TRIGGER ai_job_gone AFTER DELETE ON ai_job FOR EACH ROW
   WHEN (OLD.status IN ('PENDING', 'RUNNING')) EXECUTE FUNCTION ai_job_keep_states()`,
  `CREATE TRIGGER ai_job_results AFTER DELETE ON ai_job REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
   EXECUTE FUNCTION ai_job_drop_results()`,
  `CREATE TRIGGER ai_job_clear AFTER TRUNCATE ON ai_job FOR EACH STATEMENT EXECUTE FUNCTION ai_job_clear_states()`,
];

/** Changes with every edit of the trigger SQL, so that an upgrade installs it anew. */
export const TRIGGERS_VERSION = createHash("sha256")
  .update([FENCE, keepStates(""), dropResults(""), clearStates(""), ...ATTACH].join("\n"))
  .digest("hex")
  .slice(0, 12);

/** Puts functions and triggers in place, within the caller's transaction; it needs the table for a moment, alone. */
export async function installTriggers(sql: ISql): Promise<void> {
  const [row] = await sql`SELECT quote_ident(n.nspname) AS schema FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'ai_job'::regclass`;
  const schema = String(row?.["schema"]);
  for (const text of [FENCE, keepStates(schema), dropResults(schema), clearStates(schema)]) await sql.unsafe(text);
  for (const name of TRIGGERS) await sql.unsafe(`DROP TRIGGER IF EXISTS ${name} ON ai_job`);
  for (const text of ATTACH) await sql.unsafe(text);
}

/** Which of the triggers are missing or switched off. */
export async function missingTriggers(sql: ISql): Promise<string[]> {
  const rows = await sql`SELECT tgname FROM pg_trigger
    WHERE tgrelid = to_regclass('ai_job') AND NOT tgisinternal AND tgenabled IN ('O', 'A')`;
  const there = new Set(rows.map((row) => row["tgname"]));
  return TRIGGERS.filter((name) => !there.has(name));
}
