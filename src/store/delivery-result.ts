/** Read: the result that belongs to an event. */
import type { Sql } from "./db.ts";

/**
 * text: the result as JSON text, null where the job has none. too_large: it is over the limit. changed: the job has gone
 * on since, so what is there is another life's. gone: the job has left the table.
 */
export type EventResult = { text: string | null } | { omitted: "too_large" | "changed" | "gone" };

/** Decided by one statement: a retry takes the result away and moves event_seq on together. */
export async function resultOfEvent(sql: Sql, jobId: string, seq: number, maxBytes: number): Promise<EventResult> {
  const [row] = await sql<{ current: boolean; large: boolean; result: string | null }[]>`
    SELECT j.event_seq = ${seq} AS current, coalesce(octet_length(r.text) > ${maxBytes}, false) AS large,
      CASE WHEN octet_length(r.text) <= ${maxBytes} THEN r.text END AS result
    FROM ai_job j LEFT JOIN LATERAL (
      SELECT payload::text AS text FROM ai_result WHERE job_id = j.id OFFSET 0) r ON true
    WHERE j.job_id = ${jobId}`;
  if (row === undefined) return { omitted: "gone" };
  if (!row.current) return { omitted: "changed" };
  return row.large ? { omitted: "too_large" } : { text: row.result };
}
