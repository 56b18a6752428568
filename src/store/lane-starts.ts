/**
 * Where claims begin while an old snapshot is held. What was claimed stays in the index then, in front of what waits: after
 * 450,000 jobs a claim of 500 took 250 ms to pass over it three times, and over a million none ended within its
 * statement_timeout. So a survey passes over it once a second and remembers the first row of each lane, and claims, looks at
 * what is due and hand-offs begin there; between surveys a step passes over what has died since (docs/decisions/025).
 */
import { behindStart, startsOf } from "./claim-statement.ts";
import type { Database, Sql } from "./db.ts";
import { LANE_FRONTS } from "./lookups.ts";
import { oldestXminSeconds } from "./oldest-xmin.ts";
import type { LaneStart } from "./rows.ts";

export interface LaneStarts {
  /** For a look at these types, at any where there are none; undefined: from the front of each lane. */
  of(types: readonly string[]): LaneStart[] | undefined;
  /** A look from the front took so long, whether it ended well or not. */
  took(ms: number): void;
  /** A claim got nothing at the starts: what it was for may lie in front of them, so a survey is due soon. */
  missed(): void;
  /** Jobs of this lane have been stored: where it is not known, it is from now on, from its front. */
  opened(lane: Pick<LaneStart, "type" | "priority">): void;
}

export interface LaneStartsOptions {
  db: Pick<Database, "sql" | "surveys" | "drizzle">;
  /** Told where a survey or a step fails: claims go on from where they began. */
  onError: (err: unknown) => void;
  /** Told after each survey that had starts before it or has them now: what a claim has missed may be found. */
  onSurvey?: () => void;
  /** In ms; performance.now unless told. */
  now?: () => number;
  /** Younger snapshots are gone before they are in the way. */
  oldSnapshotSeconds?: number;
  /** A survey that takes Postgres less finds next to nothing dead, and claims go from the front. */
  quickSurveyMs?: number;
}

/** A look from the front that takes no longer needs no help. */
const SLOW_MS = 15;
/** One that takes longer has the lanes surveyed whether or not a snapshot is seen: a role may not see those of others. */
const HOPELESS_MS = 1_000;
const OLD_SNAPSHOT_S = 5;
/**
 * By the clock of Postgres: here all looks seem slow while this process is busy. A claim passes over the dead three times,
 * a survey once.
 */
const QUICK_SURVEY_MS = SLOW_MS / 3;
/** Between two surveys, and between two looks for an old snapshot; a survey takes a tenth of the time at most. */
const AGAIN_MS = 1_000;
const SHARE = 10;
/** After a claim that missed a survey may take a quarter of the time. */
const MISSED_SHARE = 3;
/** Between two steps, which see what lies behind the starts alone and so cost next to nothing. */
const STEP_MS = 200;
/** More lanes would make each claim's parameters long. */
const MOST_LANES = 500;
/**
 * No start lies later than this before now: what is dispatched from now on lies behind it, also where its transaction took
 * a while, and in a lane whose jobs are all gone or for later.
 */
const YOUNGEST = "now() - interval '2 seconds'";

/** Runs what looks at lanes of these types: from the starts where there are some, else from the front. */
export function fromStarts<T>(
  starts: LaneStarts | undefined,
  types: readonly string[],
  look: (from: readonly LaneStart[] | undefined) => Promise<T>,
): Promise<T> {
  const from = starts?.of(types);
  return timedFrom(starts, from, () => look(from));
}

/** Runs a look that begins there; of one from the front they are told how long it took. */
export async function timedFrom<T>(
  starts: LaneStarts | undefined,
  from: readonly LaneStart[] | undefined,
  look: () => Promise<T>,
): Promise<T> {
  const since = performance.now();
  try {
    return await look();
  } finally {
    if (from === undefined) starts?.took(performance.now() - since);
  }
}

/**
 * Nothing is remembered, nor asked for, unless looks are slow and a snapshot is old. What comes to lie in front of a start
 * (a release, a late commit), or in a lane that another broker opened, is found by the next survey. Starts are never wrong, only early: they
 * stay when a step or a survey fails.
 */
export function createLaneStarts({
  db,
  onError,
  onSurvey = () => undefined,
  now = () => performance.now(),
  oldSnapshotSeconds = OLD_SNAPSHOT_S,
  quickSurveyMs = QUICK_SURVEY_MS,
}: LaneStartsOptions): LaneStarts {
  const known = createKnownLanes();
  let isHopeless = false;
  const survey = { isUnderWay: false, at: Number.NEGATIVE_INFINITY, endedAt: 0, tookMs: 0 };
  const step = { isUnderWay: false, at: Number.NEGATIVE_INFINITY };

  /** Never rejects. */
  async function makeSurvey(): Promise<void> {
    survey.isUnderWay = true;
    const since = now();
    const hadStarts = known.starts !== undefined;
    let share = SHARE;
    try {
      const needs = { oldSnapshotSeconds: isHopeless ? 0 : oldSnapshotSeconds, quickSurveyMs };
      await known.survey((starts) => surveyed(db, starts, needs));
      isHopeless = false;
    } catch (err) {
      share = 1;
      onError(err);
    }
    Object.assign(survey, { isUnderWay: false, endedAt: now(), tookMs: now() - since });
    survey.at = survey.endedAt + Math.max(AGAIN_MS, survey.tookMs * share);
    step.at = Math.max(step.at, survey.endedAt + STEP_MS);
    if (hadStarts || known.starts !== undefined) onSurvey();
  }

  /** Never rejects. */
  async function makeStep(from: LaneStart[]): Promise<void> {
    step.isUnderWay = true;
    const since = now();
    try {
      const next = await stepped(db.sql, from);
      // Else a survey came between, and may have found rows in front.
      if (known.starts === from) known.starts = next;
    } catch (err) {
      onError(err);
    }
    Object.assign(step, { isUnderWay: false, at: now() + Math.max(STEP_MS, (now() - since) * SHARE) });
  }

  function renew(): void {
    const since = now();
    if (!survey.isUnderWay && since >= survey.at) void makeSurvey();
    else if (known.starts !== undefined && !step.isUnderWay && since >= step.at) void makeStep(known.starts);
  }

  return {
    of(types) {
      if (known.starts !== undefined) renew();
      return types.length === 0 ? known.starts : known.starts?.filter(({ type }) => types.includes(type));
    },
    took(ms) {
      if (ms >= HOPELESS_MS) isHopeless = true;
      if (ms >= SLOW_MS) renew();
    },
    missed() {
      survey.at = Math.min(survey.at, survey.endedAt + survey.tookMs * MISSED_SHARE);
      renew();
    },
    opened: known.opened,
  };
}

/** The starts, and what is opened while a survey is under way: it may have begun before their jobs were there. */
function createKnownLanes() {
  let meanwhile: LaneStart[] | undefined;
  const known = {
    starts: undefined as LaneStart[] | undefined,
    async survey(make: (starts: LaneStart[]) => Promise<LaneStart[] | undefined>): Promise<void> {
      meanwhile = [];
      try {
        const found = await make(known.starts ?? []);
        known.starts = found && meanwhile.reduce(withLane, found);
      } finally {
        meanwhile = undefined;
      }
    },
    opened({ type, priority }: Pick<LaneStart, "type" | "priority">): void {
      const lane = { type, priority, runAt: "-infinity", id: "0" };
      meanwhile = meanwhile && withLane(meanwhile, lane);
      known.starts = known.starts && withLane(known.starts, lane);
    },
  };
  return known;
}

/** The same ones where it is among them, or there is no room. */
function withLane(starts: LaneStart[], lane: LaneStart): LaneStart[] {
  const isKnown = starts.some(({ type, priority }) => type === lane.type && priority === lane.priority);
  return isKnown || starts.length >= MOST_LANES ? starts : [...starts, lane];
}

/**
 * The first row of each lane, where it is of use; lanes that were known stay so when they are empty. It may take longer than
 * a claim may, and has a connection of its own.
 */
async function surveyed(
  { surveys: sql, drizzle }: LaneStartsOptions["db"],
  known: readonly LaneStart[],
  { oldSnapshotSeconds, quickSurveyMs }: Required<Pick<LaneStartsOptions, "oldSnapshotSeconds" | "quickSurveyMs">>,
): Promise<LaneStart[] | undefined> {
  if (oldSnapshotSeconds > 0 && (await oldestXminSeconds({ drizzle })) < oldSnapshotSeconds) return undefined;
  const rows = await sql<(LaneStart & { empty: boolean | null; ms: number })[]>`
    WITH RECURSIVE ${sql.unsafe(LANE_FRONTS)}, lane AS (
      SELECT job_type, priority, run_at, id, false AS empty FROM walk
      UNION ALL
      SELECT k.job_type, k.priority, NULL, NULL, true FROM unnest(${known.map(({ type }) => type)}::text[]::varchar[],
        ${known.map(({ priority }) => String(priority))}::text[]::int[]) AS k (job_type, priority)
      WHERE (k.job_type, k.priority) NOT IN (SELECT job_type, priority FROM walk)
    )
    SELECT f.*, extract(epoch FROM clock_timestamp() - statement_timestamp())::float8 * 1000 AS ms
    FROM (SELECT) always LEFT JOIN (
      SELECT job_type AS type, priority, empty, ${sql.unsafe(START)} FROM lane f
      ORDER BY empty, job_type, priority LIMIT ${MOST_LANES + 1}) f ON true`;
  if ((rows[0]?.ms ?? 0) < quickSurveyMs) return undefined;
  // Of empty ones as many as there is room for.
  if (rows.at(MOST_LANES)?.empty === false) return undefined;
  const lanes = rows.filter(({ empty }) => empty !== null).slice(0, MOST_LANES);
  return lanes.map(({ empty: _, ms: __, ...start }) => start);
}

/** Of a first row `f`, or of none. */
const START = `CASE WHEN f.run_at < ${YOUNGEST} THEN f.run_at ELSE ${YOUNGEST} END::text AS "runAt",
  CASE WHEN f.run_at < ${YOUNGEST} THEN f.id ELSE 0 END::text AS id`;

/** The first row of each lane from where it began. */
async function stepped(sql: Sql, starts: readonly LaneStart[]): Promise<LaneStart[]> {
  const rows = await sql<LaneStart[]>`
    WITH ${startsOf(sql, starts)}
    SELECT l.job_type AS type, l.priority, ${sql.unsafe(START)} FROM walk l LEFT JOIN LATERAL (
      SELECT r.run_at, r.id FROM ai_ready r
      WHERE r.job_type = l.job_type AND r.priority = l.priority ${behindStart(sql, starts)}
      ORDER BY r.job_type, r.priority, r.run_at, r.id LIMIT 1) f ON true
    ORDER BY l.job_type, l.priority`;
  return [...rows];
}
