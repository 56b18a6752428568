import { describe, expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { type JobFilter, jobsQuery, listJobs } from "../../src/store/list-jobs.ts";
import { test } from "../support/db.ts";
import { ANY, givenEndedRows, givenRows } from "./given-rows.ts";

const FIRST = { size: 50, below: null, maxBytes: 1_000_000 };

async function found(db: Database, filter: Partial<JobFilter>): Promise<string[]> {
  const { jobs } = await listJobs(db, { ...ANY, ...filter }, FIRST);
  return jobs.map((job) => job.jobId);
}

describe("each filter", () => {
  const rows = [
    { job_id: "a", status: "PENDING", created_at: "2026-01-01T00:00:00Z", tenant_id: "t1", last_error: "100% Broken" },
    { job_id: "b", status: "RUNNING", created_at: "2026-01-02T00:00:00Z", locked_by: "w1" },
    { job_id: "c", status: "DONE", created_at: "2026-01-03T00:00:00Z", locked_by: "w1", job_type: "embedding" },
    { job_id: "d", status: "FAILED", created_at: "2026-01-04T00:00:00Z", source_domain: "exams", source_id: "7" },
    { job_id: "e", status: "CANCELLED", created_at: "2026-01-05T00:00:00Z", source_domain: "exams", source_id: "8" },
    { job_id: "f", status: "PENDING", created_at: "2026-01-06T00:00:00Z", job_type: "embedding", tenant_id: "" },
    { job_id: "g", status: "DONE", created_at: "2026-01-07T00:00:00Z", source_domain: "exams", source_id: "7" },
  ] as const;

  test.for([
    ["none: all, the newest first", {}, "gfedcba"],
    ["pending", { statuses: ["PENDING"] }, "fa"],
    ["running", { statuses: ["RUNNING"] }, "b"],
    ["pending or running", { statuses: ["PENDING", "RUNNING"] }, "fba"],
    ["running or done", { statuses: ["DONE", "RUNNING"] }, "gcb"],
    ["failed", { statuses: ["FAILED"] }, "d"],
    ["one type", { types: ["embedding"] }, "fc"],
    ["two types", { types: ["embedding", "ocr"] }, "gfedcba"],
    ["pending of a type", { statuses: ["PENDING"], types: ["embedding"] }, "f"],
    ["open of a type", { statuses: ["PENDING", "RUNNING"], types: ["ocr"] }, "ba"],
    ["tenant", { tenantId: "t1" }, "a"],
    ["the empty tenant is not none", { tenantId: "" }, "f"],
    ["pending of a tenant", { statuses: ["PENDING"], tenantId: "t1" }, "a"],
    ["source", { sourceDomain: "exams", sourceId: "7" }, "gd"],
    ["failed of a source", { statuses: ["FAILED"], sourceDomain: "exams", sourceId: "7" }, "d"],
    ["source_domain alone", { sourceDomain: "exams" }, "ged"],
    ["source_id alone", { sourceId: "8" }, "e"],
    ["worker", { workerId: "w1" }, "cb"],
    ["running by worker", { statuses: ["RUNNING"], workerId: "w1" }, "b"],
    ["running by another", { statuses: ["RUNNING"], workerId: "w2" }, ""],
    ["error, in any case", { errorContains: "broKen" }, "a"],
    ["error with a percent sign", { errorContains: "0% b" }, "a"],
    ["percent is no wildcard", { errorContains: "1%B" }, ""],
    ["created after, inclusive", { createdAfter: new Date("2026-01-06T00:00:00Z") }, "gf"],
    ["created before, exclusive", { createdBefore: new Date("2026-01-03T00:00:00Z") }, "ba"],
    ["pending, created before", { statuses: ["PENDING"], createdBefore: new Date("2026-01-03T00:00:00Z") }, "a"],
    ["nothing fits", { tenantId: "nobody" }, ""],
  ] as [string, Partial<JobFilter>, string][])("%s", async ([, filter, expected], { db }) => {
    await givenRows(db, [...rows]);
    expect((await found(db, filter)).join("")).toBe(expected);
  });
});

describe("pages", () => {
  test.for([
    ["by the primary key", {}],
    ["by the small tables", { statuses: ["PENDING", "RUNNING"] }],
    ["by one small table", { statuses: ["PENDING"] }],
    ["by the small tables and ai_job", { statuses: ["PENDING"], tenantId: "t" }],
    ["by the source's index", { sourceDomain: "d", sourceId: "s" }],
  ] as [string, Partial<JobFilter>][])("hold each job once, %s", async ([, filter], { db }) => {
    const source = { tenant_id: "t", source_domain: "d", source_id: "s" };
    const rows = Array.from({ length: 25 }, (_, n) => ({ job_id: `j${n}`, ...source }));
    await givenRows(db, rows);
    const seen: string[][] = [];
    let below: number | null = null;
    do {
      const { jobs, next } = await listJobs(db, { ...ANY, ...filter }, { size: 10, below, maxBytes: 1_000_000 });
      seen.push(jobs.map((job) => job.jobId));
      // Jobs that come meanwhile do not move the pages.
      await givenRows(db, [{ job_id: `late${seen.length}`, ...source }]);
      below = next;
    } while (below !== null);
    expect(seen.map((page) => page.length)).toEqual([10, 10, 5]);
    expect(seen.flat()).toEqual(rows.map((row) => row.job_id).reverse());
  });

  test("end early when their texts are too long, but never empty", async ({ db }) => {
    await givenRows(
      db,
      Array.from({ length: 5 }, (_, n) => ({ job_id: `j${n}`, last_error: "x".repeat(5_000) })),
    );
    const page = (below: number | null, maxBytes: number) => listJobs(db, ANY, { size: 50, below, maxBytes });
    const first = await page(null, 12_000);
    expect(first.jobs.map((job) => job.jobId)).toEqual(["j4", "j3"]);
    const second = await page(first.next, 100);
    expect(second.jobs.map((job) => job.jobId)).toEqual(["j2"]);
    expect((await page(second.next, 100_000)).next).toBeNull();
  });

  test("the last one has no next, also when it is full", async ({ db }) => {
    await givenRows(db, [{ job_id: "a" }, { job_id: "b" }]);
    expect((await listJobs(db, ANY, { ...FIRST, size: 2 })).next).toBeNull();
    expect((await listJobs(db, ANY, { ...FIRST, size: 1 })).next).toBe(2);
  });
});

test("a listed job has all its facts but payload and result", async ({ db }) => {
  await givenRows(db, [
    { job_id: "a", tenant_id: "t", created_at: "2026-01-01T12:34:56.789Z", next_run_at: "2026-02-01Z" },
  ]);
  await db.sql`UPDATE ai_job SET priority = -3, deliveries = 4, progress_percent = 40, cancel_reason = 'no'`;
  const { jobs } = await listJobs(db, ANY, FIRST);
  expect(jobs).toEqual([
    {
      jobId: "a",
      type: "ocr",
      tenantId: "t",
      sourceDomain: null,
      sourceId: null,
      priority: -3,
      maxAttempts: 5,
      runAt: new Date("2026-02-01T00:00:00Z"),
      idempotencyKey: null,
      traceparent: null,
      createdAt: new Date("2026-01-01T12:34:56.789Z"),
      status: "PENDING",
      attemptCount: 0,
      lockedBy: null,
      lockedAt: null,
      leaseExpiresAt: null,
      lastHeartbeatAt: null,
      updatedAt: expect.any(Date),
      finishedAt: null,
      lastError: "",
      errorMessage: "",
      progress: { percent: 40, note: null },
      cancelRequestedAt: null,
      cancelReason: "no",
      deliveries: 4,
    },
  ]);
});

describe("among many ended jobs", () => {
  /** The plan of a list, as Postgres would run it now. */
  async function plan(db: Database, filter: Partial<JobFilter>): Promise<string> {
    const { sql: text, params } = jobsQuery(db, { ...ANY, ...filter }, FIRST).toSQL();
    const rows = await db.sql.unsafe<{ "QUERY PLAN": string }[]>(
      `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ${text}`,
      params as string[],
    );
    return rows.map((row) => row["QUERY PLAN"]).join("\n");
  }

  test.for(["stale", "fresh"])(
    "open ones are found without walking the ended, with %s statistics",
    async (statistics, { db }) => {
      await givenRows(db, [
        { job_id: "old", tenant_id: "t" },
        { job_id: "held", status: "RUNNING", locked_by: "w" },
      ]);
      await givenEndedRows(db, 20_000);
      if (statistics === "fresh") await db.sql`ANALYZE`;
      for (const filter of [
        { statuses: ["PENDING"] },
        { statuses: ["PENDING", "RUNNING"] },
        { statuses: ["PENDING"], tenantId: "t" },
        { statuses: ["RUNNING"], workerId: "w" },
      ] as Partial<JobFilter>[]) {
        const text = await plan(db, filter);
        expect(text).not.toMatch(/Seq Scan on ai_job|Rows Removed by Filter: \d{3}/);
        expect(text).toMatch(/ai_job_pkey/);
      }
    },
  );

  test.for(["stale", "fresh"])("a source's are found by its index, with %s statistics", async (statistics, { db }) => {
    await givenRows(db, [{ job_id: "old", source_domain: "submissions", source_id: "77" }]);
    await givenEndedRows(db, 20_000);
    if (statistics === "fresh") await db.sql`ANALYZE`;
    const text = await plan(db, { sourceDomain: "submissions", sourceId: "77" });
    expect(text).toMatch(/ai_job_source_idx/);
    expect(text).not.toMatch(/Seq Scan|ai_job_pkey/);
  });

  /** The lists of a broker whose statements may take a millisecond. */
  async function listHurried(db: Database, filter: Partial<JobFilter>): Promise<unknown> {
    return await db.drizzle.transaction(async (tx) => {
      await tx.execute("SET LOCAL statement_timeout = 1");
      const hurried = { ...db, drizzle: tx as unknown as Database["drizzle"] };
      return await listJobs(hurried, { ...ANY, ...filter }, FIRST);
    });
  }

  test("a search that runs out of time says how to narrow it", async ({ db }) => {
    await givenEndedRows(db, 20_000);
    await expect(listHurried(db, { errorContains: "needle" })).rejects.toMatchObject({
      reason: "BAD_FIELD",
      field: "error_contains",
      message: expect.stringMatching(/ran out of time; narrow the filter: source_domain together with source_id/),
    });
  });

  test("a search that runs out of time names the field that the fewest jobs meet", async ({ db }) => {
    const filters: [string, Partial<JobFilter>][] = [
      ["error_contains", { errorContains: "needle", workerId: "nobody", types: ["none"] }],
      ["worker_id", { workerId: "nobody", sourceId: "none" }],
      ["source_id", { sourceId: "none", tenantId: "nobody" }],
      ["tenant_id", { tenantId: "nobody", types: ["none"] }],
      ["types", { types: ["none"], statuses: ["FAILED"] }],
      ["statuses", { statuses: ["FAILED"] }],
    ];
    await db.sql.begin(async (tx) => {
      await tx`LOCK TABLE ai_job`;
      for (const [field, filter] of filters) {
        await expect(listHurried(db, filter), field).rejects.toMatchObject({ reason: "BAD_FIELD", field });
      }
    });
  });

  test("a search that fails for another reason is not blamed on its filter", async ({ db }) => {
    const search = listJobs(db, ANY, { ...FIRST, below: Number.NaN });
    await expect(search).rejects.not.toMatchObject({ reason: "BAD_FIELD" });
    await expect(search).rejects.toMatchObject({ cause: { code: "22P02" } });
  });
});
