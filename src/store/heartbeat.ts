/** Move: held leases are extended; the answer tells which work is to stop. */
import type { Sql } from "./db.ts";
import { among, lockedJobs } from "./lookups.ts";
import type { Beat, Renewal } from "./rows.ts";

/**
 * Extends each lease to now + leaseMs, and never shortens it, if its token is current, whatever the clock says: only a reclaim ends a lease.
 * Answers in the order of `beats`.
 */
export async function heartbeat(sql: Sql, beats: Beat[], leaseMs: number): Promise<Renewal[]> {
  const rows = await sql<{ job_id: string; verdict: Renewal["verdict"]; expires_at: Date | null }[]>`
    WITH input AS MATERIALIZED (
      SELECT i.ord, i.job_id, i.token, i.percent::int AS percent, i.note
      FROM unnest(${beats.map((b) => b.jobId)}::text[], ${beats.map((b) => b.token)}::text[],
        ${beats.map((b) => (b.progress?.percent == null ? null : String(b.progress.percent)))}::text[],
        ${beats.map((b) => b.progress?.note ?? null)}::text[]) WITH ORDINALITY AS i (job_id, token, percent, note, ord)
    ), held AS MATERIALIZED (
      SELECT id, lease_token FROM (${lockedJobs(sql, "input")}) j WHERE j.status = 'RUNNING'
    ), beat AS (
      UPDATE ai_job j SET last_heartbeat_at = now(), updated_at = now(), move = j.move + 1,
        -- A statement that waited has an older now() than one that came after it: what was promised stays.
        lease_expires_at = greatest(j.lease_expires_at, now() + ${leaseMs}::float8 * interval '1 millisecond'),
        progress_percent = coalesce(i.percent, j.progress_percent), progress_note = coalesce(i.note, j.progress_note)
      FROM held h, input i WHERE j.id = h.id AND i.job_id = j.job_id AND i.token = h.lease_token
        AND ${among(sql, "j.id", "held")}
      RETURNING j.id, j.job_id, j.lease_token, j.lease_expires_at, j.cancel_requested_at
    ), lease AS (
      UPDATE ai_lease l SET expires_at = b.lease_expires_at FROM beat b WHERE l.id = b.id AND ${among(sql, "l.id", "beat")}
    )
    SELECT i.job_id, b.lease_expires_at AS expires_at,
      CASE WHEN b.id IS NULL THEN 'LOST' WHEN b.cancel_requested_at IS NOT NULL THEN 'CANCEL' ELSE 'CONTINUE' END
        AS verdict
    FROM input i LEFT JOIN beat b ON b.job_id = i.job_id AND b.lease_token = i.token ORDER BY i.ord`;
  return rows.map((r) => ({ jobId: r.job_id, verdict: r.verdict, expiresAt: r.expires_at }));
}
