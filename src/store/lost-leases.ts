/** Leases of claims whose answer was lost between Postgres and the broker: nobody knows of them but their rows. */
import type { Sql } from "./db.ts";
import { jobOf } from "./lookups.ts";
import type { LeaseRef } from "./rows.ts";

export interface LostLease extends LeaseRef {
  workerId: string;
}

/** The leases that claims with these tokens have made, as far as they are committed. Reads every lease of the fleet. */
export async function leasesOfClaims(sql: Sql, tokens: readonly string[]): Promise<LostLease[]> {
  const rows = await sql<{ job_id: string; lease_token: string; worker_id: string | null }[]>`
    SELECT j.job_id, j.lease_token, j.locked_by AS worker_id
    FROM ai_lease l CROSS JOIN LATERAL (${jobOf(sql, "l.id", "RUNNING")}) j
    WHERE EXISTS (SELECT FROM unnest(${tokens}::text[]) t WHERE starts_with(j.lease_token, t || '.'))`;
  return rows.map((r) => ({ jobId: r.job_id, token: r.lease_token, workerId: r.worker_id ?? "" }));
}
