/** Read: what happened over time, as the rolled-up tables have it. */
import type { Histogram } from "../job/histogram.ts";
import type { Database } from "./db.ts";
import { sql } from "./drizzle.ts";
import type { Counts, STEPS } from "./history.ts";

export interface HistoryAsked {
  /** Which rows are read. */
  stepS: (typeof STEPS)[number]["stepS"];
  /** What a point stands for: a multiple of it. */
  pointS: number;
  /** How many, the last of them still under way. */
  points: number;
  /** A series of each of these; each: of all there are; all: one of all together. */
  types: string[] | "each" | "all";
}

export interface HistoryPoint extends Counts {
  /** Empty: all together, or those of no row of their own (history.ts). */
  type: string;
  at: Date;
  waited: Histogram;
  ran: Histogram;
}

export interface History {
  /** The database's time. */
  now: Date;
  firstAt: Date;
  lastAt: Date;
  /** When the newest event that is counted happened; null: none is. */
  countedTo: Date | null;
  /** Those in which something happened, by type and time. */
  points: HistoryPoint[];
}

interface Row extends Counts, Record<string, unknown> {
  now_ms: number;
  last_ms: number;
  counted_ms: number | null;
  /** Null, as all that follows: nothing happened. */
  type: string | null;
  at_ms: number;
  waited: string | null;
  ran: string | null;
}

export async function readHistory(db: Database, { stepS, pointS, points, types }: HistoryAsked): Promise<History> {
  const wanted = Array.isArray(types)
    ? sql`AND job_type IN (SELECT jsonb_array_elements_text(${JSON.stringify(types)}::text::jsonb))`
    : sql``;
  const rows = await db.drizzle.execute<Row>(sql`
    WITH span AS MATERIALIZED (
      SELECT floor(extract(epoch FROM now()) / ${pointS}::int)::float8 * ${pointS}::int AS last_s
    ), part AS MATERIALIZED (
      SELECT ${types === "all" ? sql`''` : sql`job_type`} AS type,
        floor(extract(epoch FROM at) / ${pointS}::int)::float8 * ${pointS}::int AS at_s, h.*
      FROM ai_history h
      WHERE step_s = ${stepS}::int AND at >= (SELECT to_timestamp(last_s - ${(points - 1) * pointS}::int) FROM span) ${wanted}
    ), point AS (
      SELECT type, at_s, sum(dispatched)::float8 AS dispatched, sum(started)::float8 AS started,
        sum(retrying)::float8 AS retrying, sum(done)::float8 AS done, sum(failed)::float8 AS failed,
        sum(cancelled)::float8 AS cancelled
      FROM part GROUP BY 1, 2
    ), bound AS (
      SELECT type, at_s, place, sum(coalesce(w, 0)) AS w, sum(coalesce(r, 0)) AS r
      FROM part CROSS JOIN LATERAL unnest(waited, ran) WITH ORDINALITY AS u (w, r, place) GROUP BY 1, 2, 3
    ), spread AS (
      SELECT type, at_s, json_agg(w ORDER BY place)::text AS waited, json_agg(r ORDER BY place)::text AS ran
      FROM bound GROUP BY 1, 2
    )
    SELECT extract(epoch FROM now())::float8 * 1000 AS now_ms, s.last_s * 1000 AS last_ms,
      (SELECT extract(epoch FROM at)::float8 * 1000 FROM ai_history_place) AS counted_ms,
      p.type, p.at_s * 1000 AS at_ms, dispatched, started, retrying, done, failed, cancelled, waited, ran
    FROM span s LEFT JOIN point p ON true LEFT JOIN spread USING (type, at_s) ORDER BY p.type, p.at_s`);
  const [first] = rows;
  if (first === undefined) throw new Error("a SELECT without FROM gave no row");
  return {
    now: new Date(first.now_ms),
    firstAt: new Date(first.last_ms - (points - 1) * pointS * 1_000),
    lastAt: new Date(first.last_ms),
    countedTo: first.counted_ms === null ? null : new Date(first.counted_ms),
    points: rows.flatMap((row) => (row.type === null ? [] : [toPoint(row, row.type)])),
  };
}

function toPoint(row: Row, type: string): HistoryPoint {
  const { dispatched, started, retrying, done, failed, cancelled } = row;
  const counts = { dispatched, started, retrying, done, failed, cancelled };
  return { ...counts, type, at: new Date(row.at_ms), waited: parsed(row.waited), ran: parsed(row.ran) };
}

function parsed(json: string | null): Histogram {
  return json === null ? [] : (JSON.parse(json) as Histogram);
}
