/** Move: held leases are extended; the answer tells which work is to stop. */
import type { Sql } from "./db.ts";
import { among, extendedLease, namedJobs } from "./lookups.ts";
import type { Beat, Renewal } from "./rows.ts";
import { quickly } from "./statement-text.ts";

/**
 * Extends each lease to now + leaseMs, and never shortens it, if its token is current, whatever the clock says: only a
 * reclaim ends a lease. Answers in the order of `beats`.
 */
export async function heartbeat(pool: Sql, beats: Beat[], leaseMs: number): Promise<Renewal[]> {
  const sql = quickly(pool);
  const extended = (column: string) => extendedLease(sql, column, leaseMs);
  const progress = sql`(SELECT by_job FROM progress) -> j.id::text`;
  const rows = await sql<
    { job_id: string; verdict: Renewal["verdict"]; type: string | null; expires_at: Date | null }[]
  >`
    WITH input AS MATERIALIZED (
      SELECT i.ord, i.job_id, i.token, i.percent::int AS percent, i.note
      FROM unnest(${beats.map((b) => b.jobId)}::text[], ${beats.map((b) => b.token)}::text[],
        ${beats.map((b) => (b.progress?.percent == null ? null : String(b.progress.percent)))}::text[],
        ${beats.map((b) => b.progress?.note ?? null)}::text[]) WITH ORDINALITY AS i (job_id, token, percent, note, ord)
    ), met AS MATERIALIZED (
      SELECT i.*, j.id, j.job_type, j.cancel_requested_at, ${extended("j.lease_expires_at")} AS expires_at,
        coalesce(j.status = 'RUNNING' AND j.lease_token = i.token, false) AS held
      FROM ${namedJobs(sql, "input")}
    ), progress AS MATERIALIZED (
      SELECT jsonb_object_agg(id, jsonb_build_array(percent, note)) AS by_job FROM met
      WHERE held AND (percent IS NOT NULL OR note IS NOT NULL)
    ), beat AS (
      UPDATE ai_job j SET last_heartbeat_at = now(), updated_at = now(), move = j.move + 1,
        lease_expires_at = ${extended("j.lease_expires_at")},
        progress_percent = coalesce((${progress} ->> 0)::int, j.progress_percent),
        progress_note = coalesce(${progress} ->> 1, j.progress_note)
      WHERE ${among(sql, "j.id", "met", "held")}
    ), lease AS (
      UPDATE ai_lease l SET expires_at = ${extended("l.expires_at")} WHERE ${among(sql, "l.id", "met", "held")}
    )
    SELECT job_id, CASE WHEN held THEN job_type END AS type, CASE WHEN held THEN expires_at END AS expires_at,
      CASE WHEN NOT held THEN 'LOST' WHEN cancel_requested_at IS NOT NULL THEN 'CANCEL' ELSE 'CONTINUE' END AS verdict
    FROM met ORDER BY ord`;
  return rows.map((r) => ({ jobId: r.job_id, verdict: r.verdict, type: r.type, expiresAt: r.expires_at }));
}
