/** Types that are held back: pause, resume, and the list of them. */

import type { Database } from "./db.ts";
import { asc, eq, sql } from "./drizzle.ts";
import { aiTypePause } from "./schema.ts";

export interface TypePause {
  type: string;
  pausedAt: Date;
  reason: string;
}

const PAUSE_COLUMNS = {
  type: aiTypePause.jobType,
  pausedAt: aiTypePause.pausedAt,
  reason: aiTypePause.reason,
} as const;

/** Holds a type back; one that is paused already keeps its time and reason. */
export async function pauseType(db: Database, type: string, reason: string): Promise<TypePause> {
  const [pause] = await db.drizzle
    .insert(aiTypePause)
    .values({ jobType: type, reason })
    // Changes nothing, but returns the row that is there.
    .onConflictDoUpdate({ target: aiTypePause.jobType, set: { jobType: sql`excluded.job_type` } })
    .returning(PAUSE_COLUMNS);
  return pause as TypePause;
}

/** Lets a type go on; false when it was not paused. */
export async function resumeType(db: Database, type: string): Promise<boolean> {
  const gone = await db.drizzle
    .delete(aiTypePause)
    .where(eq(aiTypePause.jobType, type))
    .returning({ type: aiTypePause.jobType });
  return gone.length > 0;
}

/** All pauses, in alphabetical order. */
export async function listPauses(db: Database): Promise<TypePause[]> {
  return await db.drizzle.select(PAUSE_COLUMNS).from(aiTypePause).orderBy(asc(aiTypePause.jobType));
}
