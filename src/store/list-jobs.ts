/**
 * Read: jobs by filter, the newest first, page by page.
 *
 * Three ways to walk, chosen by the filter and forced on the planner, which has been seen to choose wrongly on stale
 * statistics: pending and running jobs by the small tables, one source's jobs by its index, all others backwards along
 * ai_job's primary key until the page is full. Where a job must be looked at to know whether it fits, a page looks at so
 * many at most, and the next one goes on behind them: an index for each part of a filter would be paid by every move.
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
  /** Jobs that are looked at, at most; 100,000 unless told. */
  look?: number;
}

const LOOK = 100_000;

/**
 * One page and the cursor of the next, null on the last. A page may hold fewer jobs than fit, even none, where few of
 * those that were looked at do. Throws BAD_FIELD when even that takes longer than a statement may, which a narrower
 * filter cures.
 */
export async function listJobs(
  db: Database,
  filter: JobFilter,
  page: PageOfJobs,
): Promise<{ jobs: JobRow[]; next: number | null }> {
  return await inTime(filter, async () => {
    const floor = await floorOf(db, filter, page);
    const { jobs, next } = cutPage(await jobsQuery(db, filter, page, floor), page);
    return { jobs, next: next ?? (await goingOn(db, filter, floor)) };
  });
}

/** How long a count goes on. */
const COUNT_MS = 1_000;

/**
 * How many jobs fit, counted no further than `limit`; more: that was reached, or there are more jobs than could be looked
 * at in a second or so. Throws as listJobs.
 */
export async function countJobs(
  db: Database,
  filter: JobFilter,
  limit: number,
  look: number = LOOK,
): Promise<{ count: number; more: boolean }> {
  const began = performance.now();
  let count = 0;
  let below: number | null = null;
  return await inTime(filter, async () => {
    for (;;) {
      const page: PageOfJobs = { size: limit - count, below, maxBytes: 0, look };
      const floor: number = await floorOf(db, filter, page);
      const jobs = jobsQuery(db, filter, page, floor).as("jobs");
      const [found] = await db.drizzle.select({ count: sql<number>`count(*)::int` }).from(jobs);
      count += found?.count ?? 0;
      if (count > limit) return { count: limit, more: true };
      below = await goingOn(db, filter, floor);
      if (below === null) return { count, more: false };
      if (performance.now() - began > COUNT_MS) return { count, more: true };
    }
  });
}

async function inTime<T>(filter: JobFilter, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw isTimeout(error) ? tooSlow(filter, error) : error;
  }
}

const isOpen = ({ statuses }: JobFilter) =>
  statuses.length > 0 && statuses.every((status) => status === "PENDING" || status === "RUNNING");
const isOfSource = ({ sourceDomain, sourceId }: JobFilter) => sourceDomain !== null && sourceId !== null;

/** The lowest id that a page looks at; 0: at all that are left, for each of them fits or an index tells which do. */
async function floorOf(db: Database, filter: JobFilter, page: PageOfJobs): Promise<number> {
  const look = page.look ?? LOOK;
  if (isOpen(filter)) {
    if (restOf(filter).length === 0) return 0;
    const [next] = await openIds(db, filter, page).orderBy(desc(sql`id`)).offset(look).limit(1);
    return next === undefined ? 0 : next.id + 1;
  }
  const fits = [ofStatus(filter), ...conditions(filter)].every((condition) => condition === undefined);
  if (fits || isOfSource(filter)) return 0;
  // Ids are given out in order and leave few gaps, so that so many ids are about as many jobs, and never more.
  const below = page.below ?? ((await newestBelow(db)) ?? 0) + 1;
  return Math.max(0, below - look);
}

/** Where the next page begins once all above the floor has been looked at; null: nothing is left. */
async function goingOn(db: Database, filter: JobFilter, floor: number): Promise<number | null> {
  if (floor === 0 || isOpen(filter)) return floor === 0 ? null : floor;
  const next = await newestBelow(db, floor);
  return next === null ? null : next + 1;
}

async function newestBelow(db: Database, floor?: number): Promise<number | null> {
  const [row] = await db.drizzle
    .select({ id: aiJob.id })
    .from(aiJob)
    .where(floor === undefined ? undefined : lt(aiJob.id, floor))
    .orderBy(desc(aiJob.id))
    .limit(1);
  return row?.id ?? null;
}

/** The query alone, with one row more than the page, which tells whether there is a next one. */
export function jobsQuery(db: Database, filter: JobFilter, page: PageOfJobs, floor = 0) {
  if (isOpen(filter)) return openJobs(db, filter, page, floor);
  if (isOfSource(filter)) return jobsOfSource(db, filter, page);
  return db.drizzle
    .select(JOB_COLUMNS)
    .from(aiJob)
    .where(and(below(page), floor === 0 ? undefined : gte(aiJob.id, floor), ofStatus(filter), ...conditions(filter)))
    .orderBy(desc(aiJob.id))
    .limit(page.size + 1);
}

/** Ids of pending and running jobs, by the small tables. */
function openIds(db: Database, filter: JobFilter, page: PageOfJobs, floor = 0) {
  const within = (id: typeof aiReady.id | typeof aiLease.id) => [
    page.below === null ? undefined : lt(id, page.below),
    floor === 0 ? undefined : gte(id, floor),
  ];
  const ready = db.drizzle
    .select({ id: aiReady.id })
    .from(aiReady)
    .where(and(...within(aiReady.id), filter.types.length === 0 ? undefined : inArray(aiReady.jobType, filter.types)));
  const lease = db.drizzle
    .select({ id: aiLease.id })
    .from(aiLease)
    .where(and(...within(aiLease.id)));
  const pending = filter.statuses.includes("PENDING");
  return pending && filter.statuses.includes("RUNNING") ? unionAll(ready, lease) : pending ? ready : lease;
}

/** What ai_job must be asked of those: not what ai_ready knows by itself. */
function restOf(filter: JobFilter): SQL[] {
  const asked = filter.statuses.includes("RUNNING") ? filter : { ...filter, types: [] };
  return conditions(asked).filter((condition) => condition !== undefined);
}

/** Pending and running jobs: ids from the small tables in order, then row by row until the page is full. */
function openJobs(db: Database, filter: JobFilter, page: PageOfJobs, floor: number) {
  const rest = restOf(filter);
  const ordered = openIds(db, filter, page, floor).orderBy(desc(sql`id`));
  // Where ai_job has nothing to add, the sort keeps a page's ids instead of all of them.
  const open = (rest.length === 0 ? ordered.limit(page.size + 1) : ordered).as("open");
  // One row at a time, by the limit in the lateral query: a join could be planned as a walk over all ended jobs.
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
