/**
 * Where claims begin while an old snapshot is held. What was claimed stays in the index then, in front of what waits: after
 * 450,000 jobs a claim of 500 took 250 ms to pass over it three times, and over a million none ended within its
 * statement_timeout. So a survey passes over it once a second and remembers the first row of each lane, and claims, looks at
 * what is due and hand-offs begin there; between surveys a step passes over what has died since (docs/decisions/025).
 */
import { startsOf } from "./claim-statement.ts";
import type { Database, Sql } from "./db.ts";
import { LANE_FRONTS } from "./lookups.ts";
import { oldestXminSeconds } from "./oldest-xmin.ts";
import type { LaneStart } from "./rows.ts";

export interface LaneStarts {
  /** For a look at these types, at any where there are none; undefined: from the front of each lane. */
  of(types: readonly string[]): LaneStart[] | undefined;
  /** A look from the front took so long, whether it ended well or not. */
  took(ms: number): void;
  /**
   * For a claim that got nothing at the starts: those of a survey that has begun since it asked. Null: one has been so
   * lately that there is nothing. Undefined: from the front of each lane.
   */
  anew(types: readonly string[]): Promise<LaneStart[] | null | undefined>;
}

export interface LaneStartsOptions {
  db: Pick<Database, "sql" | "background" | "drizzle">;
  /** Told where a survey or a step fails: claims begin at the front again. */
  onError: (err: unknown) => void;
  /** In ms; performance.now unless told. */
  now?: () => number;
  /** Younger snapshots are gone before they are in the way. */
  oldSnapshotSeconds?: number;
}

/** A look from the front that takes no longer needs no help. */
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
 * No start lies later than this before now: what is dispatched from now on lies behind it, also where its transaction took
 * a while, and in a lane whose jobs are all gone or for later.
 */
const YOUNGEST = "now() - interval '500 milliseconds'";

/** Runs what looks at lanes of these types: from the starts where there are some, else from the front. */
export function fromStarts<T>(
  starts: LaneStarts | undefined,
  types: readonly string[],
  look: (from: readonly LaneStart[] | undefined) => Promise<T>,
): Promise<T> {
  return toldOf(starts, starts?.of(types), look);
}

/** Looks from there; of a look from the front it is told how long it took. */
export async function toldOf<T, F extends readonly LaneStart[] | undefined>(
  starts: LaneStarts | undefined,
  from: F,
  look: (from: F) => Promise<T>,
): Promise<T> {
  const since = performance.now();
  try {
    return await look(from);
  } finally {
    if (from === undefined) starts?.took(performance.now() - since);
  }
}

/**
 * Nothing is remembered, nor asked for, unless looks are slow and a snapshot is old. What comes to lie in front of a start
 * (a release, a late commit), or in a lane that is new, is found by the next survey.
 */
export function createLaneStarts({
  db,
  onError,
  now = () => performance.now(),
  oldSnapshotSeconds = OLD_SNAPSHOT_S,
}: LaneStartsOptions): LaneStarts {
  let starts: LaneStart[] | undefined;
  let underWay: Promise<void> | undefined;
  let surveyAt = Number.NEGATIVE_INFINITY;
  let stepAt = Number.NEGATIVE_INFINITY;
  const survey = { beganAt: Number.NEGATIVE_INFINITY, endedAt: Number.NEGATIVE_INFINITY };

  /** Without a place to go on from it is a survey. Never rejects. */
  async function run(from: LaneStart[] | undefined): Promise<void> {
    const since = now();
    try {
      starts = from === undefined ? await surveyed(db, starts ?? [], oldSnapshotSeconds) : await stepped(db.sql, from);
    } catch (err) {
      starts = undefined;
      onError(err);
    }
    const tookMs = now() - since;
    if (from === undefined) {
      surveyAt = now() + Math.max(AGAIN_MS, tookMs * SHARE);
      Object.assign(survey, { beganAt: since, endedAt: now() });
    }
    stepAt = now() + Math.max(STEP_MS, from === undefined ? 0 : tookMs * SHARE);
  }

  function begin(from: LaneStart[] | undefined): Promise<void> {
    underWay = run(from).finally(() => {
      underWay = undefined;
    });
    return underWay;
  }

  function renew(): void {
    const since = now();
    const from = since >= surveyAt ? undefined : starts;
    if (underWay === undefined && since >= (from === undefined ? surveyAt : stepAt)) void begin(from);
  }

  const ownOf = (types: readonly string[]) =>
    types.length === 0 ? starts : starts?.filter(({ type }) => types.includes(type));

  return {
    of(types) {
      if (starts !== undefined) renew();
      return ownOf(types);
    },
    took(ms) {
      if (ms >= SLOW_MS) renew();
    },
    async anew(types) {
      const since = now();
      while (underWay !== undefined) await underWay;
      if (starts !== undefined && survey.beganAt < since) {
        // As long as it took nobody asks again, so that idle workers do not keep Postgres at it.
        if (now() < survey.endedAt + (survey.endedAt - survey.beganAt)) return null;
        await begin(undefined);
      }
      return ownOf(types);
    },
  };
}

/**
 * The first row of each lane, where it is of use; lanes that were known stay so when they are empty. It may take longer than
 * a claim may, so it goes by the connection of those that do.
 */
async function surveyed(
  { background, drizzle }: LaneStartsOptions["db"],
  known: readonly LaneStart[],
  oldSnapshotSeconds: number,
): Promise<LaneStart[] | undefined> {
  if ((await oldestXminSeconds({ drizzle })) < oldSnapshotSeconds) return undefined;
  const rows = await background<LaneStart[]>`
    WITH RECURSIVE ${background.unsafe(LANE_FRONTS)}, lane AS (
      SELECT job_type, priority, run_at, id FROM walk
      UNION ALL
      SELECT k.job_type, k.priority, NULL, NULL FROM unnest(${known.map(({ type }) => type)}::text[]::varchar[],
        ${known.map(({ priority }) => String(priority))}::text[]::int[]) AS k (job_type, priority)
      WHERE (k.job_type, k.priority) NOT IN (SELECT job_type, priority FROM walk)
    )
    SELECT job_type AS type, priority, ${background.unsafe(START)} FROM lane f LIMIT ${MOST_LANES + 1}`;
  return rows.length > MOST_LANES ? undefined : [...rows];
}

/** Of a first row `f`, or of none. */
const START = `CASE WHEN f.run_at < ${YOUNGEST} THEN f.run_at ELSE ${YOUNGEST} END::text AS "runAt",
  CASE WHEN f.run_at < ${YOUNGEST} THEN f.id ELSE 0 END::text AS id`;

/** The first row of each lane from where it began. */
async function stepped(sql: Sql, starts: readonly LaneStart[]): Promise<LaneStart[]> {
  const rows = await sql<LaneStart[]>`
    WITH ${startsOf(sql, starts)}
    SELECT w.job_type AS type, w.priority, ${sql.unsafe(START)} FROM walk w LEFT JOIN LATERAL (
      SELECT r.run_at, r.id FROM ai_ready r
      WHERE r.job_type = w.job_type AND r.priority = w.priority AND (r.run_at, r.id) >= (w.from_at, w.from_id)
      ORDER BY r.job_type, r.priority, r.run_at, r.id LIMIT 1) f ON true
    ORDER BY w.job_type, w.priority`;
  return [...rows];
}
