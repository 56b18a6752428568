/** Jobs of one batch that repeat one another: the database cannot see them, since none is stored yet. */
import { BrokerError } from "../errors.ts";
import type { Sql } from "./db.ts";
import type { NewJob } from "./rows.ts";

export interface Folded {
  /** Indexes to be stored, in order. */
  fresh: number[];
  /** Index of a repeat → index of the job that it repeats. */
  repeatOf: Map<number, number>;
}

/** Finds the repeats; one with another body refuses the batch (IDEMPOTENCY_KEY_REUSED). */
export async function foldRepeats(sql: Sql, jobs: NewJob[]): Promise<Folded> {
  const firstById = new Map<string, number>();
  const firstByKey = new Map<string, number>();
  const folded: Folded = { fresh: [], repeatOf: new Map() };
  jobs.forEach((job, i) => {
    const key = job.idempotencyKey === null ? null : JSON.stringify([job.tenantId ?? "", job.idempotencyKey]);
    const byId = firstById.get(job.id);
    const byKey = key === null ? undefined : firstByKey.get(key);
    if (byId !== undefined && byKey !== undefined && byId !== byKey) {
      throw refusal(
        `jobs[${i}].idempotency_key`,
        `belongs to jobs[${byKey}] of this request, and the id to jobs[${byId}]`,
      );
    }
    const first = byId ?? byKey;
    if (first === undefined) folded.fresh.push(i);
    else folded.repeatOf.set(i, first);
    if (!firstById.has(job.id)) firstById.set(job.id, first ?? i);
    if (key !== null && !firstByKey.has(key)) firstByKey.set(key, first ?? i);
  });
  if (folded.repeatOf.size > 0) await refuseOtherBodies(sql, jobs, folded.repeatOf);
  return folded;
}

async function refuseOtherBodies(sql: Sql, jobs: NewJob[], repeatOf: Map<number, number>): Promise<void> {
  const pairs = [...repeatOf].map(([i, first]) => ({ i, one: jobs[i] as NewJob, other: jobs[first] as NewJob }));
  // Postgres compares the payloads: only it knows which JSON texts are the same jsonb.
  const rows = await sql<{ same: boolean }[]>`
    SELECT a::jsonb = b::jsonb AS same
    FROM unnest(${pairs.map((p) => p.one.payload)}::text[], ${pairs.map((p) => p.other.payload)}::text[])
      WITH ORDINALITY AS p (a, b, ord) ORDER BY ord`;
  pairs.forEach(({ i, one, other }, at) => {
    if (rows[at]?.same && facts(one) === facts(other)) return;
    const field = `jobs[${i}].${one.id === other.id ? "id" : "idempotency_key"}`;
    throw refusal(field, "stands twice in this request with different bodies");
  });
}

function refusal(field: string, what: string): BrokerError {
  return new BrokerError("IDEMPOTENCY_KEY_REUSED", `${field}: ${what}; nothing was dispatched`, { field });
}

function facts(job: NewJob): string {
  return JSON.stringify([job.type, job.tenantId, job.sourceDomain, job.sourceId, job.priority, job.maxAttempts]);
}
