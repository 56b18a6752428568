/**
 * Where claims begin while an old snapshot is held. What was claimed stays in the index then, in front of what waits: after
 * 450,000 jobs a claim of 500 took 250 ms to pass over it three times. So a survey passes over it once a second and
 * remembers the first row of each lane, and claims begin there (docs/decisions/025).
 */
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
  /** Told where a survey fails: claims begin at the front again. */
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
/** More lanes would make each claim's parameters long. */
const MOST_LANES = 500;

/**
 * Nothing is remembered, nor asked for, unless claims are slow and a snapshot is old. What comes to lie in front of a start
 * (a release, a late commit, a lane that is new) is found by the next survey, or by a claim that gets less than it asked.
 */
export function createLaneStarts(options: LaneStartsOptions): LaneStarts {
  const { db, onError, now = () => performance.now(), oldSnapshotSeconds = OLD_SNAPSHOT_S } = options;
  let starts: LaneStart[] | undefined;
  let againAt = Number.NEGATIVE_INFINITY;

  function survey(): void {
    if (now() < againAt) return;
    const since = now();
    againAt = Number.POSITIVE_INFINITY;
    look(db, oldSnapshotSeconds)
      .then((found) => {
        starts = found;
      })
      .catch((err: unknown) => {
        starts = undefined;
        onError(err);
      })
      .finally(() => {
        againAt = now() + Math.max(AGAIN_MS, (now() - since) * SHARE);
      });
  }

  return {
    of(types) {
      if (starts === undefined) return undefined;
      survey();
      const own = types.length === 0 ? starts : starts.filter(({ type }) => types.includes(type));
      return own.length === 0 ? undefined : own;
    },
    took(ms) {
      if (ms >= SLOW_MS) survey();
    },
  };
}

/** The first row of each lane, where it is of use. */
async function look(
  { sql, drizzle }: LaneStartsOptions["db"],
  oldSnapshotSeconds: number,
): Promise<LaneStart[] | undefined> {
  if ((await oldestXminSeconds({ drizzle })) < oldSnapshotSeconds) return undefined;
  const rows = await sql<{ type: string; priority: number; run_at: string; id: string }[]>`
    WITH RECURSIVE ${sql.unsafe(LANE_FRONTS)}
    SELECT job_type AS type, priority, run_at::text, id::text FROM walk LIMIT ${MOST_LANES + 1}`;
  if (rows.length > MOST_LANES) return undefined;
  return rows.map(({ type, priority, run_at: runAt, id }) => ({ type, priority, runAt, id }));
}
