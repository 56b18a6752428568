/** Lists and counts whose filter few jobs meet: each look is bounded, and goes on where the one before ended. */
import { describe, expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { countJobs, type JobFilter, listJobs } from "../../src/store/list-jobs.ts";
import { test } from "../support/db.ts";
import { ANY, givenRows } from "./given-rows.ts";

describe("a page that looks at few jobs", () => {
  const LOOK = { size: 50, maxBytes: 1_000_000, look: 10 };

  /** The pages' ids, one after another, until there is no next. */
  async function pages(db: Database, filter: Partial<JobFilter>, size = 50): Promise<string[][]> {
    const seen: string[][] = [];
    for (let below: number | null = null; seen.length === 0 || below !== null; ) {
      const { jobs, next } = await listJobs(db, { ...ANY, ...filter }, { ...LOOK, size, below });
      seen.push(jobs.map((job) => job.jobId));
      below = next;
    }
    return seen;
  }

  test.for([
    ["by the primary key", { errorContains: "needle" }, 4],
    ["by the small tables and ai_job", { statuses: ["PENDING"], errorContains: "needle" }, 4],
    ["where every one fits", {}, 1],
    ["by the small tables alone", { statuses: ["PENDING"] }, 1],
  ] as [string, Partial<JobFilter>, number][])(
    "goes on behind them with its token, %s",
    async ([, filter, count], { db }) => {
      await givenRows(
        db,
        Array.from({ length: 35 }, (_, n) => ({
          job_id: `j${n}`,
          last_error: [3, 4, 33].includes(n) ? "a Needle in it" : "",
        })),
      );
      const seen = await pages(db, filter);
      expect(seen).toHaveLength(count);
      const all = Array.from({ length: 35 }, (_, n) => `j${34 - n}`);
      expect(seen.flat()).toEqual(filter.errorContains === undefined ? all : ["j33", "j4", "j3"]);
    },
  );

  test("is followed by one that begins at the next job that is there, over any gap", async ({ db }) => {
    await givenRows(db, [{ job_id: "old", last_error: "needle" }]);
    await db.sql`SELECT setval(pg_get_serial_sequence('ai_job', 'id'), 1000000)`;
    await givenRows(db, [{ job_id: "new" }]);
    expect(await pages(db, { errorContains: "needle" })).toEqual([[], ["old"]]);
  });

  test("may be full all the same, and then goes on behind its last job", async ({ db }) => {
    await givenRows(
      db,
      Array.from({ length: 25 }, (_, n) => ({ job_id: `j${n}`, tenant_id: n % 2 === 0 ? "t" : "u" })),
    );
    const seen = await pages(db, { tenantId: "t" }, 3);
    expect(seen.slice(0, 2)).toEqual([
      ["j24", "j22", "j20"],
      ["j18", "j16", "j14"],
    ]);
    expect(seen.flat()).toHaveLength(13);
    expect(new Set(seen.flat()).size).toBe(13);
  });
});

describe("a count", () => {
  const rows = Array.from({ length: 35 }, (_, n) => ({
    job_id: `j${n}`,
    status: n % 5 === 0 ? ("DONE" as const) : ("PENDING" as const),
    tenant_id: n < 10 ? "t" : "u",
    ...{ source_domain: "d", source_id: "s" },
  }));

  test.for([
    [{}, 35],
    [{ statuses: ["PENDING"] }, 28],
    [{ statuses: ["PENDING", "RUNNING"], tenantId: "t" }, 8],
    [{ statuses: ["DONE"] }, 7],
    [{ tenantId: "t" }, 10],
    [{ sourceDomain: "d", sourceId: "s" }, 35],
    [{ tenantId: "nobody" }, 0],
  ] as [Partial<JobFilter>, number][])(
    "of %o is %i, however few jobs are looked at a time",
    async ([filter, count], { db }) => {
      await givenRows(db, rows);
      const whole = { ...ANY, ...filter };
      for (const look of [4, 1_000]) {
        expect(await countJobs(db, whole, 100, look)).toEqual({ count, more: false });
        expect(await countJobs(db, whole, count, look)).toEqual({ count, more: false });
        if (count > 0) expect(await countJobs(db, whole, count - 1, look)).toEqual({ count: count - 1, more: true });
      }
    },
  );
});
