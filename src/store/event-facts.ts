/** What an event says, wherever it is told: to a watcher, an endpoint or a handler. */
import type { EventKind } from "../job/events.ts";

export interface EventFacts {
  at: Date;
  jobId: string;
  /** Numbers the job's transitions from 1 on. */
  seq: number;
  kind: EventKind;
  type: string;
  /** Attempts spent then. */
  attempt: number;
  tenantId: string | null;
  sourceDomain: string | null;
  sourceId: string | null;
  /** Whose attempt began or ended. */
  workerId: string | null;
  /** At most 1,000 characters of it. */
  error: string | null;
}

/** The same as ai_event and ai_delivery name it; seq read as float8. */
export interface EventFactsRow {
  at: Date;
  job_id: string;
  seq: number;
  kind: EventKind;
  job_type: string;
  attempt: number;
  tenant_id: string | null;
  source_domain: string | null;
  source_id: string | null;
  worker_id: string | null;
  error: string | null;
}

export function toEventFacts(row: EventFactsRow): EventFacts {
  return {
    at: row.at,
    jobId: row.job_id,
    seq: row.seq,
    kind: row.kind,
    type: row.job_type,
    attempt: row.attempt,
    tenantId: row.tenant_id,
    sourceDomain: row.source_domain,
    sourceId: row.source_id,
    workerId: row.worker_id,
    error: row.error,
  };
}
