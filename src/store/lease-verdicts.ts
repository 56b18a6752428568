/** Read: which leases a worker that comes back still has. */
import type { Sql } from "./db.ts";
import type { LeaseRef, LeaseVerdict } from "./rows.ts";

/**
 * HELD: the token is current. CANCEL: so it is, and the job is to be cancelled. SETTLED: it is the token that ended the
 * newest attempt. LOST: all else. Changes and locks nothing; answers in the order of `refs`.
 */
export async function leaseVerdicts(sql: Sql, refs: LeaseRef[]): Promise<LeaseVerdict[]> {
  const rows = await sql<{ verdict: LeaseVerdict }[]>`
    SELECT CASE WHEN j.status = 'RUNNING' AND j.lease_token = i.token
        THEN CASE WHEN j.cancel_requested_at IS NULL THEN 'HELD' ELSE 'CANCEL' END
      WHEN j.settled_token = i.token THEN 'SETTLED' ELSE 'LOST' END AS verdict
    FROM unnest(${refs.map((r) => r.jobId)}::text[], ${refs.map((r) => r.token)}::text[])
      WITH ORDINALITY AS i (job_id, token, ord)
    LEFT JOIN LATERAL (SELECT * FROM ai_job WHERE job_id = i.job_id OFFSET 0) j ON true ORDER BY i.ord`;
  return rows.map(({ verdict }) => verdict);
}
