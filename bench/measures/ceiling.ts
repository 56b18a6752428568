/**
 * What the tables themselves allow: the same claims and reports, with the same rows written, as plain SQL in one DO block
 * that commits after each. No socket, no driver, no broker: what is between this and drain is ours to spend.
 */
import { HOT, openPool, type Sql } from "../../src/store/db.ts";
import { clear, fill } from "../backlog.ts";
import { JOB_TYPE } from "../clients/client.ts";
import { nowUs } from "../harness/clock.ts";
import { dueJobs } from "../harness/due-jobs.ts";
import { type Measure, measureOf } from "../harness/figures.ts";
import { type Used, usedMeasures, type Watched, watchUse } from "../harness/used.ts";
import { brokerDatabase } from "../systems/ai-job-broker.ts";
import { inTurn } from "./in-turn.ts";
import type { BenchContext } from "./measure.ts";

const JOBS = { quick: 10_000, whole: 100_000 };
const BATCH = 500;

const DRAIN = `DO $$
DECLARE
  taken int;
BEGIN
  LOOP
    WITH picked AS MATERIALIZED (
      SELECT r.ctid AS place, r.id FROM ai_ready r
      CROSS JOIN LATERAL (SELECT FROM ai_job WHERE id = r.id AND status = 'PENDING' OFFSET 0) j
      WHERE r.job_type = '${JOB_TYPE}' AND r.priority = 0 AND r.run_at <= now()
      ORDER BY r.job_type, r.priority, r.run_at, r.id LIMIT ${BATCH} FOR UPDATE OF r SKIP LOCKED
    ), gone AS (
      DELETE FROM ai_ready WHERE ctid = ANY (ARRAY(SELECT place FROM picked))
    ), run AS (
      UPDATE ai_job SET status = 'RUNNING', attempt_count = attempt_count + 1, deliveries = deliveries + 1,
        locked_by = 'raw', locked_at = now(), last_heartbeat_at = now(), updated_at = now(), event_seq = event_seq + 1,
        lease_expires_at = now() + interval '1 minute', lease_token = 'raw.' || id, move = move + 1
      WHERE id = ANY (ARRAY(SELECT id FROM picked)) RETURNING *
    ), lease AS (
      INSERT INTO ai_lease (id, expires_at, worker_id) SELECT id, lease_expires_at, locked_by FROM run
    )
    INSERT INTO ai_event (job_id, seq, kind, job_type, attempt, worker_id)
    SELECT job_id, event_seq, 'started', job_type, attempt_count, locked_by FROM run;
    GET DIAGNOSTICS taken = ROW_COUNT;
    EXIT WHEN taken = 0;
    COMMIT;
    WITH held AS MATERIALIZED (
      SELECT id FROM ai_lease
    ), gone AS (
      DELETE FROM ai_lease WHERE id = ANY (ARRAY(SELECT id FROM held))
    ), done AS (
      UPDATE ai_job SET status = 'DONE', finished_at = now(), updated_at = now(), settled_token = lease_token,
        settled_as = 'DONE', lease_token = NULL, returns = 0, event_seq = event_seq + 1, move = move + 1
      WHERE id = ANY (ARRAY(SELECT id FROM held)) RETURNING *
    ), result AS (
      INSERT INTO ai_result (created_at, updated_at, payload, job_id)
      SELECT now(), now(), '{"ok": true}'::jsonb, id FROM done
    )
    INSERT INTO ai_event (job_id, seq, kind, job_type, attempt, worker_id)
    SELECT job_id, event_seq, 'done', job_type, attempt_count, locked_by FROM done;
    COMMIT;
  END LOOP;
END $$`;

/** Recorded under drain, as system `ceiling`. */
export async function measureCeiling(context: BenchContext): Promise<Measure[]> {
  const { ground, quick } = context;
  const url = await brokerDatabase(ground);
  const sql = openPool({ url, statementTimeoutMs: 600_000, lockTimeoutMs: 5_000 }, 1, HOT);
  const jobs = quick ? JOBS.quick : JOBS.whole;
  const [results = []] = await inTurn(
    context,
    "drain",
    ["the ceiling, raw SQL"],
    (title) => title,
    () => drainRaw(sql, ground, jobs),
  ).finally(() => sql.end());
  const about = { system: "ceiling", setting: `raw SQL on the same tables, ${BATCH} at a time` };
  return [
    measureOf(
      { ...about, measure: "drain", unit: "jobs/s" },
      results.map(({ perSecond }) => perSecond),
    ),
    ...usedMeasures(
      "drain",
      about,
      results.map(({ used }) => used),
    ),
  ];
}

interface Round {
  perSecond: number;
  used: Used<never>;
}

async function drainRaw(sql: Sql, ground: Watched, jobs: number): Promise<Round> {
  await clear(sql);
  await fill(sql, dueJobs(jobs));
  const usedBy = await watchUse({}, ground);
  const beganUs = nowUs();
  await sql.unsafe(DRAIN);
  const tookUs = nowUs() - beganUs;
  const used = await usedBy(jobs);
  const [row] = await sql<{ done: number }[]>`SELECT count(*)::int AS done FROM ai_result`;
  if (row?.done !== jobs) throw new Error(`${row?.done} of ${jobs} jobs were done by raw SQL`);
  return { perSecond: jobs / (tookUs / 1e6), used };
}
