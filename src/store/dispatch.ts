/** Move: a producer's jobs become rows, all or none. */
import { BrokerError } from "../errors.ts";
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import { toSeatLease } from "./claim.ts";
import type { Sql } from "./db.ts";
import { dispatchStatement, type HandedRow, handOffStatement, type KnownRow } from "./dispatch-statement.ts";
import { foldRepeats } from "./repeats.ts";
import type { Dispatched, HandOff, NewJob, SeatLease } from "./rows.ts";
import { quickly } from "./statement-text.ts";

/** Another transaction stored one of the ids or keys between our look and our insert; the next look sees it. */
const UNIQUE_VIOLATION = "23505";
const RACES = 5;

/**
 * Stores the jobs and answers in their order. An id or idempotency key that is known, with the same body, answers with
 * the first job; with another body all are refused (IDEMPOTENCY_KEY_REUSED, naming the item). Nothing is stored then.
 * With seats, jobs that are the next in line there have their lease in the answer; all jobs are of one type then, one
 * that the seats take.
 */
export async function dispatch(
  sql: Sql,
  jobs: NewJob[],
  kept: KeptKinds = ALL_KINDS,
  handOff?: HandOff,
): Promise<Dispatched[]> {
  const { fresh, repeatOf } = await foldRepeats(sql, jobs);
  const stored = await store(
    sql,
    fresh.map((i) => jobs[i] as NewJob),
    fresh,
    kept,
    handOff,
  );
  const byIndex = new Map(fresh.map((index, at) => [index, stored[at] as Dispatched]));
  return jobs.map((_, i) => {
    const first = repeatOf.get(i);
    return first === undefined
      ? (byIndex.get(i) as Dispatched)
      : { jobId: (byIndex.get(first) as Dispatched).jobId, created: false };
  });
}

async function store(
  sql: Sql,
  jobs: NewJob[],
  indexes: number[],
  kept: KeptKinds,
  handOff: HandOff | undefined,
): Promise<Dispatched[]> {
  for (let race = 1; ; race++) {
    try {
      const known = new Map<number, string>();
      const leases = new Map<string, SeatLease>();
      const [rows, handed] = await insertUnknown(sql, jobs, kept, handOff);
      for (const lease of handed) leases.set(lease.jobId, lease);
      for (const row of rows) {
        const at = Number(row.ord) - 1;
        const other = known.get(at);
        if (!row.same || (other !== undefined && other !== row.known_id)) throw reused(jobs[at], indexes[at], row.by);
        known.set(at, row.known_id);
      }
      return jobs.map((job, at) => {
        const lease = leases.get(job.id);
        return { jobId: known.get(at) ?? job.id, created: !known.has(at), ...(lease && { lease }) };
      });
    } catch (err) {
      if ((err as { code?: string }).code !== UNIQUE_VIOLATION || race === RACES) throw err;
    }
  }
}

/** What was known before, and what went to seats. */
async function insertUnknown(
  sql: Sql,
  jobs: NewJob[],
  kept: KeptKinds,
  handOff: HandOff | undefined,
): Promise<[KnownRow[], SeatLease[]]> {
  if (handOff === undefined) return [await dispatchStatement(quickly(sql), jobs, kept), []];
  const rows = await handOffStatement(quickly(sql), jobs, kept, handOff);
  const handed = rows.filter((row) => row.by === null).map((row) => leaseOf(row, handOff));
  return [rows.filter((row) => row.by !== null), handed];
}

function leaseOf(row: HandedRow, { seats, leaseMs }: HandOff): SeatLease {
  const session = seats.find(({ instanceId }) => instanceId === row.instance_id);
  return toSeatLease({ ...row, session_id: session?.sessionId as string }, leaseMs);
}

function reused(job: NewJob | undefined, index: number | undefined, by: "id" | "key"): BrokerError {
  const field = `jobs[${index}].${by === "id" ? "id" : "idempotency_key"}`;
  const value = by === "id" ? job?.id : job?.idempotencyKey;
  return new BrokerError(
    "IDEMPOTENCY_KEY_REUSED",
    `${field}: "${value}" was used before for a job with another body; nothing was dispatched. ` +
      "Send the first body again, or use a new value",
    { field },
  );
}
