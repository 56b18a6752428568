/** Read: the state a job is in. */
import type { Status } from "../job/status.ts";
import type { Sql } from "./db.ts";

/** Null when there is no such job. */
export async function jobStatus(sql: Sql, jobId: string): Promise<Status | null> {
  const [row] = await sql<{ status: Status }[]>`SELECT status FROM ai_job WHERE job_id = ${jobId}`;
  return row?.status ?? null;
}
