/** What the charts of the dashboard show of the hour before a picture: made up, and the same at each call. */
import { type Histogram, withDuration } from "../src/job/histogram.ts";
import { openPool } from "../src/store/db.ts";

/** Of one type: about so many a minute, and how long they take. */
interface Pace {
  type: string;
  perMinute: number;
  waitMs: number;
  runMs: number;
  /** Minutes before now in which more of them came than were done, or fewer, and how many times as many. */
  tide: { from: number; to: number; times: number };
}

const MINUTE_MS = 60_000;
const MINUTES = 75;
/** When more come than are done, they wait so much longer. */
const RUSH_WAITS = 14;
const STEADY = { from: 0, to: MINUTES, times: 1 };
const PACES: readonly Pace[] = [
  { type: "embedding", perMinute: 125, waitMs: 90, runMs: 280, tide: { from: 52, to: 59, times: 2.2 } },
  { type: "grade-essay", perMinute: 60, waitMs: 150, runMs: 6_000, tide: { from: 0, to: 5, times: 0.1 } },
  { type: "grade-sheet", perMinute: 9, waitMs: 120, runMs: 3_400, tide: STEADY },
  { type: "ocr", perMinute: 62, waitMs: 80, runMs: 950, tide: { from: 26, to: 33, times: 2.4 } },
  { type: "summarize-page", perMinute: 12, waitMs: 100, runMs: 2_900, tide: { from: 26, to: 33, times: 2.4 } },
];

/** Writes it as the broker does once it has counted its events, up to now; what really happens adds to it. */
export async function writePast(databaseUrl: string): Promise<void> {
  const sql = openPool({ url: databaseUrl, statementTimeoutMs: 10_000, lockTimeoutMs: 10_000 }, 1);
  const passed = (Date.now() % MINUTE_MS) / MINUTE_MS;
  const rows = PACES.flatMap((pace, at) =>
    Array.from({ length: MINUTES }, (_, ago) => {
      const swing = Math.sin(ago * 12.9898 + at * 78.233);
      return rowOf({ ...pace, perMinute: pace.perMinute * (ago === 0 ? passed : 1) }, ago, swing);
    }),
  );
  try {
    await sql`
      INSERT INTO ai_history (step_s, at, job_type, dispatched, started, retrying, done, failed, cancelled, waited, ran)
      SELECT 60, date_trunc('minute', now()) - r.ago * interval '1 minute', r.type, r.dispatched, r.done + r.retrying,
        r.retrying, r.done, r.failed, 0,
        ARRAY(SELECT n::float8 FROM jsonb_array_elements_text(r.waited) WITH ORDINALITY AS w (n, place) ORDER BY place),
        ARRAY(SELECT n::float8 FROM jsonb_array_elements_text(r.ran) WITH ORDINALITY AS w (n, place) ORDER BY place)
      FROM jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) AS r (ago int, type text, dispatched bigint,
        retrying bigint, done bigint, failed bigint, waited jsonb, ran jsonb)`;
  } finally {
    await sql.end();
  }
}

/** `swing`: from -1 to 1. */
function rowOf({ type, perMinute, waitMs, runMs, tide }: Pace, ago: number, swing: number) {
  const times = ago >= tide.from && ago <= tide.to ? tide.times : 1;
  const done = Math.round(perMinute * (1 + swing * 0.12 + Math.cos(ago / 11) * 0.15));
  return {
    ago,
    type,
    dispatched: Math.round(done * times),
    retrying: Math.round(perMinute * 0.02 * (1 + swing)),
    done,
    failed: swing > 0.85 ? 1 : 0,
    waited: spread(waitMs * (times > 1 ? RUSH_WAITS : 1), done, swing),
    ran: spread(runMs, done, swing),
  };
}

/** Most of about `ms`, and a tail. */
function spread(ms: number, jobs: number, swing: number): Histogram {
  const most = withDuration([], ms * (1 + swing * 0.1), jobs * 0.6);
  return withDuration(withDuration(most, ms * 0.6, jobs * 0.3), ms * 2.1, jobs * 0.1);
}
