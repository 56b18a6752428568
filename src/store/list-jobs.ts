/**
 * Read: jobs by filter, the newest first, page by page.
 *
 * Three ways to walk, chosen by the filter and forced on the planner, which has been seen to choose wrongly on stale
 * statistics: pending and running jobs by the small tables, one source's jobs by its index, all others backwards along
 * ai_job's primary key until the page is full. Only the last can run into the statement's timeout.
 */

import { BrokerError } from "../errors.ts";
import type { Status } from "../job/status.ts";
import type { Database } from "./db.ts";
import { and, desc, eq, gte, inArray, lt, type SQL, sql, unionAll } from "./drizzle.ts";
import { JOB_COLUMNS, type JobSelection, jobRow } from "./job-columns.ts";
import type { JobRow } from "./rows.ts";
import { aiJob, aiLease, aiReady } from "./schema.ts";
import { isTimeout } from "./statement-timeout.ts";

/** What to find; null and empty lists ask for nothing in particular. */
export interface JobFilter {
  statuses: Status[];
  types: string[];
  tenantId: string | null;
  sourceDomain: string | null;
  sourceId: string | null;
  /** Holds the lease or held it last. */
  workerId: string | null;
  /** Part of last_error, in any case. */
  errorContains: string | null;
  /** Inclusive. */
  createdAfter: Date | null;
  /** Exclusive. */
  createdBefore: Date | null;
}

export interface PageOfJobs {
  size: number;
  /** The cursor: only jobs below this id; null for the first page. */
  below: number | null;
  /** Of the texts on one page; a page holds at least one job all the same. */
  maxBytes: number;
}

/**
 * One page and the cursor of the next, null on the last. Throws BAD_FIELD when the walk takes longer than a statement
 * may, which a narrower filter cures.
 */
export async function listJobs(
  db: Database,
  filter: JobFilter,
  page: PageOfJobs,
): Promise<{ jobs: JobRow[]; next: number | null }> {
  try {
    return cutPage(await jobsQuery(db, filter, page), page);
  } catch (error) {
    throw isTimeout(error) ? tooSlow(filter, error) : error;
  }
}

/** The query alone, with one row more than the page, which tells whether there is a next one. */
export function jobsQuery(db: Database, filter: JobFilter, page: PageOfJobs) {
  if (filter.statuses.length > 0 && filter.statuses.every((status) => status === "PENDING" || status === "RUNNING")) {
    return openJobs(db, filter, page);
  }
  if (filter.sourceDomain !== null && filter.sourceId !== null) return jobsOfSource(db, filter, page);
  return db.drizzle
    .select(JOB_COLUMNS)
    .from(aiJob)
    .where(and(below(page), ofStatus(filter), ...conditions(filter)))
    .orderBy(desc(aiJob.id))
    .limit(page.size + 1);
}

/** Pending and running jobs: ids from the small tables in order, then row by row until the page is full. */
function openJobs(db: Database, filter: JobFilter, page: PageOfJobs) {
  const ready = db.drizzle
    .select({ id: aiReady.id })
    .from(aiReady)
    .where(
      and(
        page.below === null ? undefined : lt(aiReady.id, page.below),
        filter.types.length === 0 ? undefined : inArray(aiReady.jobType, filter.types),
      ),
    );
  const lease = db.drizzle
    .select({ id: aiLease.id })
    .from(aiLease)
    .where(page.below === null ? undefined : lt(aiLease.id, page.below));
  const pending = filter.statuses.includes("PENDING");
  const running = filter.statuses.includes("RUNNING");
  const ids = pending && running ? unionAll(ready, lease) : pending ? ready : lease;
  // What ai_ready knows by itself need not be asked of ai_job again.
  const rest = conditions(running ? filter : { ...filter, types: [] }).filter((condition) => condition !== undefined);
  const ordered = ids.orderBy(desc(sql`id`));
  // Where ai_job has nothing to add, the sort keeps a page's ids instead of all of them.
  const open = (rest.length === 0 ? ordered.limit(page.size + 1) : ordered).as("open");
  // One row a time, by the limit in the lateral query: a join could be planned as a walk over all ended jobs.
  const job = db.drizzle
    .select(JOB_COLUMNS)
    .from(aiJob)
    .where(and(eq(aiJob.id, open.id), ...rest))
    .limit(1)
    .as("job");
  return db.drizzle
    .select(fields(job))
    .from(open)
    .crossJoinLateral(job)
    .orderBy(desc(open.id))
    .limit(page.size + 1);
}

/** One source's jobs: sorted by an expression, since for `id` alone the planner may walk the primary key instead. */
function jobsOfSource(db: Database, filter: JobFilter, page: PageOfJobs) {
  return db.drizzle
    .select(JOB_COLUMNS)
    .from(aiJob)
    .where(and(below(page), ofStatus(filter), ...conditions(filter)))
    .orderBy(desc(sql`${aiJob.id} + 0`))
    .limit(page.size + 1);
}

function below(page: PageOfJobs): SQL | undefined {
  return page.below === null ? undefined : lt(aiJob.id, page.below);
}

function ofStatus(filter: JobFilter): SQL | undefined {
  return filter.statuses.length === 0 ? undefined : inArray(aiJob.status, filter.statuses);
}

/** All but the statuses and the cursor. */
function conditions(filter: JobFilter): (SQL | undefined)[] {
  const { types, tenantId, sourceDomain, sourceId, workerId, errorContains, createdAfter, createdBefore } = filter;
  return [
    types.length === 0 ? undefined : inArray(aiJob.jobType, types),
    tenantId === null ? undefined : eq(aiJob.tenantId, tenantId),
    sourceDomain === null ? undefined : eq(aiJob.sourceDomain, sourceDomain),
    sourceId === null ? undefined : eq(aiJob.sourceId, sourceId),
    workerId === null ? undefined : eq(aiJob.lockedBy, workerId),
    // Not LIKE: % and _ in an error text mean themselves.
    errorContains === null ? undefined : sql`position(lower(${errorContains}) in lower(${aiJob.lastError})) > 0`,
    createdAfter === null ? undefined : gte(aiJob.createdAt, createdAfter),
    createdBefore === null ? undefined : lt(aiJob.createdAt, createdBefore),
  ];
}

/** The columns of a subquery under their own names. */
function fields<T extends Record<keyof typeof JOB_COLUMNS, unknown>>(job: T): Pick<T, keyof typeof JOB_COLUMNS> {
  const names = Object.keys(JOB_COLUMNS) as (keyof typeof JOB_COLUMNS)[];
  return Object.fromEntries(names.map((name) => [name, job[name]])) as Pick<T, keyof typeof JOB_COLUMNS>;
}

function cutPage(rows: JobSelection[], page: PageOfJobs): { jobs: JobRow[]; next: number | null } {
  let bytes = 0;
  let count = 0;
  for (const row of rows.slice(0, page.size)) {
    bytes += bytesOf(row);
    if (count > 0 && bytes > page.maxBytes) break;
    count++;
  }
  const jobs = rows.slice(0, count);
  return { jobs: jobs.map(jobRow), next: count < rows.length ? (jobs.at(-1)?.id ?? null) : null };
}

/** What a row takes on the wire, about: its texts, and 200 bytes for its numbers and times. */
function bytesOf(row: JobSelection): number {
  let bytes = 200;
  for (const value of Object.values(row)) if (typeof value === "string") bytes += Buffer.byteLength(value);
  return bytes;
}

/** Named is the part of the filter that few jobs meet, or else the one that would help most. */
function tooSlow(filter: JobFilter, cause: unknown): BrokerError {
  const field =
    (filter.errorContains !== null && "error_contains") ||
    (filter.workerId !== null && "worker_id") ||
    (filter.sourceId !== null && "source_id") ||
    (filter.tenantId !== null && "tenant_id") ||
    (filter.types.length > 0 && "types") ||
    "statuses";
  const advice =
    "narrow the filter: source_domain together with source_id, or statuses of only PENDING and RUNNING, are fast on any number of jobs";
  const message = `${field}: among this many jobs too few fit, the search ran out of time; ${advice}`;
  return new BrokerError("BAD_FIELD", message, { field, cause });
}
