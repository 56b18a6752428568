/** Read: one job, whole. */

import type { Database } from "./db.ts";
import { eq, sql } from "./drizzle.ts";
import { JOB_COLUMNS, jobRow } from "./job-columns.ts";
import type { JobDetail } from "./rows.ts";
import { aiJob, aiResult } from "./schema.ts";

/** The job with its payload and result as text, so that their numbers stay exact; null when there is none. */
export async function getJob(db: Database, jobId: string): Promise<JobDetail | null> {
  const [found] = await db.drizzle
    .select({
      job: JOB_COLUMNS,
      payload: sql<string>`${aiJob.payload}::text`,
      resultId: aiResult.id,
      result: sql<string | null>`${aiResult.payload}::text`,
    })
    .from(aiJob)
    .leftJoin(aiResult, eq(aiResult.jobId, aiJob.id))
    .where(eq(aiJob.jobId, jobId));
  if (found === undefined) return null;
  const { job, payload, resultId, result } = found;
  return { ...jobRow(job), payload, result: resultId === null ? undefined : result };
}
