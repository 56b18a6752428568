/**
 * Where claims begin while an old snapshot is held. What was claimed stays in the index then, in front of what waits: after
 * 450,000 jobs a claim of 500 took 250 ms to pass over it three times. So a survey passes over it once a second and
 * remembers the first row of each lane, and claims begin there; between surveys a step passes over what has died since
 * (docs/decisions/025).
 */
import { startsOf } from "./claim-statement.ts";
import type { Database } from "./db.ts";
import { LANE_FRONTS } from "./lookups.ts";
import { oldestXminSeconds } from "./oldest-xmin.ts";
import type { LaneStart } from "./rows.ts";

export interface LaneStarts {
  /** For a claim of these types, of any where there are none; undefined: from the front of each lane. */
  of(types: readonly string[]): LaneStart[] | undefined;
  /** A claim from the front took so long. */
  took(ms: number): void;
}

export interface LaneStartsOptions {
  db: Pick<Database, "sql" | "drizzle">;
  /** Told where a survey or a step fails: claims begin at the front again. */
  onError: (err: unknown) => void;
  /** In ms; performance.now unless told. */
  now?: () => number;
  /** Younger snapshots are gone before they are in the way. */
  oldSnapshotSeconds?: number;
}

/** A claim from the front that takes no longer needs no help. */
const SLOW_MS = 15;
const OLD_SNAPSHOT_S = 5;
/** Between two surveys, and between two looks for an old snapshot; a survey takes a tenth of the time at most. */
const AGAIN_MS = 1_000;
const SHARE = 10;
/** Between two steps, which see what lies behind the starts alone and so cost next to nothing. */
const STEP_MS = 200;
/** More lanes would make each claim's parameters long. */
const MOST_LANES = 500;

/**
 * Nothing is remembered, nor asked for, unless claims are slow and a snapshot is old. What comes to lie in front of a start
 * (a release, a late commit, a lane that is new) is found by the next survey, or by a claim that gets less than it asked.
 */
export function createLaneStarts(options: LaneStartsOptions): LaneStarts {
  const { db, onError, now = () => performance.now(), oldSnapshotSeconds = OLD_SNAPSHOT_S } = options;
  let starts: LaneStart[] | undefined;
  let isUnderWay = false;
  let surveyAt = Number.NEGATIVE_INFINITY;
  let stepAt = Number.NEGATIVE_INFINITY;

  /** Never rejects. */
  async function renew(): Promise<void> {
    const since = now();
    // Without a place to go on from it is a survey.
    const from = since >= surveyAt ? undefined : starts;
    if (isUnderWay || since < (from === undefined ? surveyAt : stepAt)) return;
    isUnderWay = true;
    try {
      starts = from === undefined ? await survey(db, oldSnapshotSeconds) : await step(db, from);
    } catch (err) {
      starts = undefined;
      onError(err);
    }
    const restMs = (now() - since) * SHARE;
    if (from === undefined) surveyAt = now() + Math.max(AGAIN_MS, restMs);
    stepAt = now() + Math.max(STEP_MS, from === undefined ? 0 : restMs);
    isUnderWay = false;
  }

  return {
    of(types) {
      if (starts === undefined) return undefined;
      void renew();
      const own = types.length === 0 ? starts : starts.filter(({ type }) => types.includes(type));
      return own.length === 0 ? undefined : own;
    },
    took(ms) {
      if (ms >= SLOW_MS) void renew();
    },
  };
}

/** The first row of each lane, where it is of use. */
async function survey(
  { sql, drizzle }: LaneStartsOptions["db"],
  oldSnapshotSeconds: number,
): Promise<LaneStart[] | undefined> {
  if ((await oldestXminSeconds({ drizzle })) < oldSnapshotSeconds) return undefined;
  const rows = await sql<LaneStart[]>`
    WITH RECURSIVE ${sql.unsafe(LANE_FRONTS)}
    SELECT job_type AS type, priority, run_at::text AS "runAt", id::text FROM walk LIMIT ${MOST_LANES + 1}`;
  return rows.length > MOST_LANES ? undefined : [...rows];
}

/** The first row of each lane from where it began; a lane that has none is left to the next survey. */
async function step({ sql }: LaneStartsOptions["db"], starts: readonly LaneStart[]): Promise<LaneStart[]> {
  const rows = await sql<LaneStart[]>`
    WITH ${startsOf(sql, starts)}
    SELECT w.job_type AS type, w.priority, f.run_at::text AS "runAt", f.id::text FROM walk w CROSS JOIN LATERAL (
      SELECT r.run_at, r.id FROM ai_ready r
      WHERE r.job_type = w.job_type AND r.priority = w.priority AND (r.run_at, r.id) >= (w.from_at, w.from_id)
      ORDER BY r.job_type, r.priority, r.run_at, r.id LIMIT 1) f
    ORDER BY w.job_type, w.priority`;
  return [...rows];
}
