/**
 * Move: what has happened becomes numbers, a step at a time. One look reads the events behind the place and counts them;
 * one statement adds the counts and moves the place on, if nobody else has meanwhile: each event is counted once,
 * whichever broker does it and whenever one dies. Read as in events.ts, below the oldest running transaction, so that
 * none is passed over. Moves of jobs pay nothing for it.
 */
import { type Histogram, withDuration } from "../job/histogram.ts";
import type { Sql } from "./db.ts";
import { boundOf } from "./events.ts";

/** How long a row's time is, and how long the row stays. */
export const STEPS = [
  { stepS: 60, keptDays: 1 },
  { stepS: 300, keptDays: 7 },
] as const;
const LONGEST_DAYS = 7;

/** Events in one step. */
const PAGE = 5_000;
/** Of the jobs that are done in a step so many, about, or all are looked at for their own times. */
const SAMPLE = 300;
/** Types are free text, so those of a step that have rows of their own are bounded; the rest share one. */
const MOST_TYPES = 100;
const OTHERS = "";

export interface Counts {
  dispatched: number;
  started: number;
  retrying: number;
  done: number;
  failed: number;
  cancelled: number;
}

export interface RolledUp {
  /** Events that were counted. */
  events: number;
  /** There may be more at once. */
  more: boolean;
}

/** Takes one step. */
export async function rollUp(sql: Sql, page: number = PAGE): Promise<RolledUp> {
  const [look] = await lookAt(sql, page);
  if (look === undefined) {
    // From the first event that is kept: a broker that is new here has a history at once.
    await sql`INSERT INTO ai_history_place (xid, id) VALUES ('0', 0) ON CONFLICT DO NOTHING`;
    return { events: 0, more: true };
  }
  if (look.to_xid === look.from_xid && look.to_id === look.from_id) return { events: 0, more: false };
  const happened = JSON.parse(look.happened) as Happened[];
  const events = happened.reduce((sum, { count }) => sum + count, 0);
  const lasting = happened.filter(({ at }) => at > look.now_s - LONGEST_DAYS * 86_400);
  const rows = historyRows(lasting, JSON.parse(look.ended) as Ended[], JSON.parse(look.known) as string[]);
  const newestS = happened.reduce<number | null>((newest, { last }) => Math.max(newest ?? last, last), null);
  const isMine = await add(sql, look, newestS, rows);
  return { events: isMine ? events : 0, more: events === page };
}

/** Removes rows that are older than they are kept, at most `limit`, and answers how many. */
export async function forgetHistory(sql: Sql, limit: number): Promise<number> {
  const { count } = await sql`
    DELETE FROM ai_history WHERE ctid = ANY (ARRAY(
      SELECT h.ctid FROM jsonb_to_recordset(${JSON.stringify(STEPS)}::text::jsonb) AS s ("stepS" int, "keptDays" float8)
      CROSS JOIN LATERAL (
        SELECT ctid FROM ai_history WHERE step_s = s."stepS" AND at < now() - s."keptDays" * interval '1 day'
        ORDER BY step_s, at LIMIT ${limit}) h
      LIMIT ${limit}))`;
  return count;
}

/** So many events of a kind, of jobs of a type, in a minute. */
interface Happened {
  type: string;
  /** Seconds since 1970, as all times here. */
  at: number;
  kind: string;
  count: number;
  /** Of the newest. */
  last: number;
}

/** One of the jobs that were done. */
interface Ended {
  type: string;
  at: number;
  waited_ms: number;
  ran_ms: number;
}

interface Look {
  from_xid: string;
  from_id: string;
  to_xid: string;
  to_id: string;
  now_s: number;
  /** JSON of Happened[], Ended[] and string[]. */
  happened: string;
  ended: string;
  known: string;
}

/**
 * Changes nothing. No row: there is no place yet. A few microseconds an event are much where there are thousands a second,
 * so the events are read once and counted by one pass.
 */
function lookAt(sql: Sql, page: number) {
  return sql<Look[]>`
    WITH bound AS MATERIALIZED (SELECT xid AS safe FROM (${boundOf(sql, "database")}) b),
    place AS MATERIALIZED (
      -- One that this server has not come to is of another one, out of a dump: what happens from now on is counted.
      SELECT p.xid, p.id, CASE WHEN p.xid > pg_snapshot_xmax(pg_current_snapshot()) THEN b.safe ELSE p.xid END AS start_xid,
        CASE WHEN p.xid > pg_snapshot_xmax(pg_current_snapshot()) THEN 0 ELSE p.id END AS start_id, b.safe
      FROM ai_history_place p CROSS JOIN bound b
    ), page AS MATERIALIZED (
      SELECT e.* FROM place p CROSS JOIN LATERAL (
        -- As numbers of floating point: extract would make decimals, which take longer than all the rest.
        SELECT xid, id, date_part('epoch', at) AS at, job_id, kind, job_type FROM ai_event
        WHERE (xid, id) > (p.start_xid, p.start_id) AND xid < p.safe ORDER BY xid, id LIMIT ${page}) e
    ), happened AS MATERIALIZED (
      SELECT job_type AS type, floor(at / 60) * 60 AS at, kind, count(*) AS count, max(at) AS last FROM page GROUP BY 1, 2, 3
    ), ended AS (
      -- A DONE job keeps when its last attempt began, and when that was due.
      SELECT d.job_type AS type, floor(d.at / 60) * 60 AS at,
        date_part('epoch', j.locked_at - greatest(j.created_at, j.next_run_at)) * 1000 AS waited_ms,
        (d.at - date_part('epoch', j.locked_at)) * 1000 AS ran_ms
      FROM page d CROSS JOIN LATERAL (
        SELECT created_at, next_run_at, locked_at FROM ai_job WHERE job_id = d.job_id AND status = 'DONE' OFFSET 0) j
      WHERE d.kind = 'done' AND d.id * 7919 % 1000 < (
          -- Scattered over the ids, so that no rhythm of theirs decides who is looked at.
          SELECT 1000 * ${SAMPLE}::int / greatest(${SAMPLE}::int, sum(count)) FROM happened WHERE kind = 'done')
        AND isfinite(j.locked_at) AND isfinite(j.next_run_at) AND isfinite(j.created_at)
    ), last AS (
      SELECT xid, id FROM page ORDER BY xid DESC, id DESC LIMIT 1
    )
    SELECT p.xid::text AS from_xid, p.id::text AS from_id, coalesce(l.xid, p.start_xid)::text AS to_xid,
      coalesce(l.id, p.start_id)::text AS to_id, date_part('epoch', now()) AS now_s,
      (SELECT coalesce(json_agg(h), '[]')::text FROM happened h) AS happened,
      (SELECT coalesce(json_agg(e), '[]')::text FROM ended e) AS ended,
      (SELECT coalesce(json_agg(DISTINCT h.job_type), '[]')::text FROM ai_history h
        WHERE h.step_s = 300 AND h.at > (SELECT to_timestamp(min(at) - 300) FROM happened)
          AND h.at <= (SELECT to_timestamp(max(at)) FROM happened)) AS known
    FROM place p LEFT JOIN last l ON true`;
}

interface HistoryRow extends Counts {
  step_s: number;
  /** Seconds since 1970. */
  at: number;
  job_type: string;
  waited: Histogram;
  ran: Histogram;
}

const NONE: Counts = { dispatched: 0, started: 0, retrying: 0, done: 0, failed: 0, cancelled: 0 };

/** The rows to be added, one for each length of step, time and type. */
function historyRows(happened: Happened[], ended: Ended[], known: string[]): HistoryRow[] {
  const own = new Set([...new Set([...known, ...happened.map(({ type }) => type)])].slice(0, MOST_TYPES));
  const rows = new Map<string, HistoryRow>();
  const rowsOf = (type: string, at: number) =>
    STEPS.map(({ stepS }) => {
      const began = Math.floor(at / stepS) * stepS;
      const name = own.has(type) ? type : OTHERS;
      const key = `${stepS} ${began} ${name}`;
      const row = rows.get(key) ?? { step_s: stepS, at: began, job_type: name, ...NONE, waited: [], ran: [] };
      rows.set(key, row);
      return row;
    });
  const dones = new Map<string, number>();
  for (const { type, at, kind, count } of happened) {
    if (kind === "done") dones.set(`${at} ${type}`, count);
    if (!(kind in NONE)) continue;
    for (const row of rowsOf(type, at)) row[kind as keyof Counts] += count;
  }
  for (const [key, sample] of Map.groupBy(ended, ({ type, at }) => `${at} ${type}`)) {
    // Those that were looked at stand for all.
    const weight = (dones.get(key) ?? 0) / sample.length;
    for (const { type, at, waited_ms, ran_ms } of weight > 0 ? sample : []) {
      for (const row of rowsOf(type, at)) {
        row.waited = withDuration(row.waited, waited_ms, weight);
        row.ran = withDuration(row.ran, ran_ms, weight);
      }
    }
  }
  return [...rows.values()].sort((a, b) => a.step_s - b.step_s || a.at - b.at || (a.job_type < b.job_type ? -1 : 1));
}

/** Adds them, and moves the place on; false, with nothing changed, where it is not where the look found it. */
async function add(sql: Sql, look: Look, newestS: number | null, rows: HistoryRow[]): Promise<boolean> {
  const { from_xid, from_id, to_xid, to_id } = look;
  const [row] = await sql<{ moved: boolean }[]>`
    WITH moved AS (
      UPDATE ai_history_place SET xid = ${to_xid}::text::xid8, id = ${to_id}::text::bigint,
        at = greatest(at, to_timestamp(${newestS}::float8))
      WHERE xid = ${from_xid}::text::xid8 AND id = ${from_id}::text::bigint RETURNING 1
    ), added AS (
      INSERT INTO ai_history AS h (step_s, at, job_type, dispatched, started, retrying, done, failed, cancelled, waited, ran)
      SELECT r.step_s, to_timestamp(r.at), r.job_type, r.dispatched, r.started, r.retrying, r.done, r.failed, r.cancelled,
        ARRAY(SELECT n::float8 FROM jsonb_array_elements_text(r.waited) WITH ORDINALITY AS w (n, place) ORDER BY place),
        ARRAY(SELECT n::float8 FROM jsonb_array_elements_text(r.ran) WITH ORDINALITY AS w (n, place) ORDER BY place)
      FROM jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) AS r (step_s int, at float8, job_type text,
        dispatched bigint, started bigint, retrying bigint, done bigint, failed bigint, cancelled bigint, waited jsonb,
        ran jsonb)
      WHERE EXISTS (SELECT FROM moved)
      ON CONFLICT (step_s, at, job_type) DO UPDATE SET dispatched = h.dispatched + excluded.dispatched,
        started = h.started + excluded.started, retrying = h.retrying + excluded.retrying,
        done = h.done + excluded.done, failed = h.failed + excluded.failed, cancelled = h.cancelled + excluded.cancelled,
        waited = ARRAY(SELECT coalesce(w.a, 0) + coalesce(w.b, 0)
          FROM unnest(h.waited, excluded.waited) WITH ORDINALITY AS w (a, b, place) ORDER BY w.place),
        ran = ARRAY(SELECT coalesce(w.a, 0) + coalesce(w.b, 0)
          FROM unnest(h.ran, excluded.ran) WITH ORDINALITY AS w (a, b, place) ORDER BY w.place)
    )
    SELECT EXISTS (SELECT FROM moved) AS moved`;
  return row?.moved === true;
}
