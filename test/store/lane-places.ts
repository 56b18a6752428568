/** Places in lanes, for the tests of claims that begin at some. */
import type { ClaimOptions } from "../../src/store/claim.ts";
import type { Database } from "../../src/store/db.ts";
import type { LaneStarts } from "../../src/store/lane-starts.ts";
import type { LaneStart } from "../../src/store/rows.ts";
import { claimAs } from "../support/jobs.ts";

export const past = (seconds: number) => new Date(Date.now() - seconds * 1_000);

/** As when a survey has found these. */
export const fixed = (from: LaneStart[], missed: () => void = () => undefined): LaneStarts => ({
  of: () => from,
  took: () => undefined,
  missed,
  opened: () => undefined,
});

/** Where the job of this id stands. */
export async function startAt({ sql }: Database, jobId: string): Promise<LaneStart> {
  const [row] = await sql<LaneStart[]>`
    SELECT job_type AS type, priority, next_run_at::text AS "runAt", id::text FROM ai_job WHERE job_id = ${jobId}`;
  if (row === undefined) throw new Error(`no job ${jobId}`);
  return row;
}

/** Claims, and answers which jobs those were. */
export async function idsOf(db: Database, more: Partial<ClaimOptions>): Promise<string[]> {
  return (await claimAs(db, "w1", more)).map(({ jobId }) => jobId);
}
