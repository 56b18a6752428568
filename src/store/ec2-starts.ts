/** Read: the wishes to start workers' instances, as operators see them. */
import type { Database } from "./db.ts";
import { sql } from "./drizzle.ts";
import type { Opening, Outcome } from "./ec2.ts";

export interface WorkerStart {
  instanceId: string;
  source: Opening["source"];
  reason: string;
  wantedAt: Date;
  /** Null: no answer of EC2 is known. */
  startedAt: Date | null;
  /** Null: open, and so is the outcome. */
  endedAt: Date | null;
  outcome: Outcome | null;
  /** Who came. */
  workerId: string | null;
  tries: number;
}

const MOST = 100;

interface StartNumbers extends Record<string, unknown> {
  instance_id: string;
  source: Opening["source"];
  reason: string;
  wanted_ms: number;
  started_ms: number | null;
  ended_ms: number | null;
  outcome: Outcome | null;
  worker_id: string | null;
  tries: number;
}

/** The latest first, at most 100. */
export async function listStarts(db: Database): Promise<WorkerStart[]> {
  const rows = await db.drizzle.execute<StartNumbers>(sql`
    SELECT instance_id, source, reason, extract(epoch FROM wanted_at)::float8 * 1000 AS wanted_ms,
      extract(epoch FROM started_at)::float8 * 1000 AS started_ms,
      extract(epoch FROM ended_at)::float8 * 1000 AS ended_ms, outcome, worker_id, tries
    FROM ai_ec2_intent ORDER BY id DESC LIMIT ${MOST}`);
  return rows.map((row) => ({
    instanceId: row.instance_id,
    source: row.source,
    reason: row.reason,
    wantedAt: new Date(row.wanted_ms),
    startedAt: row.started_ms === null ? null : new Date(row.started_ms),
    endedAt: row.ended_ms === null ? null : new Date(row.ended_ms),
    outcome: row.outcome,
    workerId: row.worker_id,
    tries: row.tries,
  }));
}
