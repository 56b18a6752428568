/**
 * The claim stays flat: what it touches does not depend on the backlog (postgres.md 14 and 16). Each backlog is met by
 * a fresh plan and by the plan that a broker keeps from the time when its queue was empty; the tables are never
 * analyzed after that, so all statistics are stale.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Backlog, clear, fill } from "../../bench/backlog.ts";
import { type Plan, type Prepared, planOf, prepare } from "../../bench/plan.ts";
import { claimStatement } from "../../src/store/claim.ts";
import { HOT, openPool, type Sql } from "../../src/store/db.ts";
import { type FreshDatabase, freshDatabase } from "../support/db.ts";

const MONTH_SECONDS = 30 * 24 * 3_600;
const OTHER_TYPES = ["translate", "grade", "summarize", "tag", "embed"];

/** A claim of one job touches some 35 pages, whatever waits; a scan of these backlogs thousands. */
const MAX_BUFFERS = 200;
const MAX_ROWS = 50;

const BACKLOGS: [string, Backlog[]][] = [
  ["an empty queue", []],
  ["one job", [{ rows: 1, types: ["ocr"], firstDueSeconds: -MONTH_SECONDS, stepSeconds: 0 }]],
  ["200,000 jobs", [{ rows: 200_000, types: ["ocr"], firstDueSeconds: -MONTH_SECONDS, stepSeconds: 1 }]],
  [
    "50,000 jobs of other types, in three priorities",
    [{ rows: 50_000, types: OTHER_TYPES, priorities: 3, firstDueSeconds: -MONTH_SECONDS, stepSeconds: 1 }],
  ],
  [
    "50,000 jobs of other types before one of this type",
    [
      { rows: 50_000, types: OTHER_TYPES, firstDueSeconds: -MONTH_SECONDS, stepSeconds: 1 },
      { rows: 1, types: ["ocr"], firstDueSeconds: -60, stepSeconds: 0 },
    ],
  ],
  [
    "50,000 jobs that share one next_run_at",
    [{ rows: 50_000, types: ["ocr"], firstDueSeconds: -MONTH_SECONDS, stepSeconds: 0 }],
  ],
  [
    "50,000 jobs scheduled for later",
    [{ rows: 50_000, types: ["ocr"], firstDueSeconds: MONTH_SECONDS, stepSeconds: 1 }],
  ],
];

let database: FreshDatabase;
let sql: Sql;
let early: Record<string, Prepared>;

beforeAll(async () => {
  database = await freshDatabase();
  sql = openPool({ url: database.url, statementTimeoutMs: 20_000, lockTimeoutMs: 5_000 }, 1, HOT);
  for (const table of ["ai_job", "ai_ready", "ai_lease", "ai_type_pause"]) {
    // Else a run at the wrong moment would renew the statistics and hide what stale ones do.
    await sql.unsafe(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`);
  }
});

afterAll(async () => {
  await sql.end();
  await database.drop();
});

beforeEach(async () => {
  await clear(sql);
  await sql`ANALYZE`;
  // Here, since a TRUNCATE drops cached plans.
  early = {
    "any type": await prepare(sql, "early_any", claimOf([])),
    "one type": await prepare(sql, "early_one", claimOf(["ocr"])),
  };
});

afterEach(() => Promise.all(Object.values(early).map((prepared) => prepared.close())));

function claimOf(types: string[]) {
  const options = { workerId: "w1", types, limit: 1, leaseMs: 60_000, maxBytes: 3_000_000, requestId: null };
  return claimStatement(sql, { ...options, token: "t" });
}

function expectFlat(plan: Plan, label: string): void {
  expect(plan.buffers, `pages touched, ${label}`).toBeLessThan(MAX_BUFFERS);
  const wide = plan.scans.filter(({ relation, rows }) => /^ai_(job|ready)$/.test(relation) && rows > MAX_ROWS);
  expect(wide, `scans that read many rows, ${label}`).toEqual([]);
}

describe("a claim of one job touches few pages", () => {
  test.each(BACKLOGS)("with %s", async (_, backlogs) => {
    for (const backlog of backlogs) await fill(sql, backlog);
    expectFlat(await planOf(sql, () => claimOf([])), "any type, fresh plan");
    expectFlat(await planOf(sql, () => claimOf(["ocr"])), "one type, fresh plan");
    for (const [types, prepared] of Object.entries(early)) {
      expectFlat(await prepared.plan(), `${types}, the plan made when the queue was empty`);
    }
    if (backlogs.some(({ rows }) => rows >= 50_000)) {
      const plan = await planOf(sql, () => claimOf(["ocr"]));
      const seqScans = plan.scans.filter(
        ({ node, relation }) => node === "Seq Scan" && /^ai_(job|ready)$/.test(relation),
      );
      expect(seqScans).toEqual([]);
    }
  });
});

test("the measure sees a statement that reads the whole backlog", async () => {
  await fill(sql, { rows: 50_000, types: ["ocr"], firstDueSeconds: -60, stepSeconds: 0 });
  const plan = await planOf(sql, () => sql`SELECT sum(bytes) FROM ai_ready`);
  expect(plan.buffers).toBeGreaterThan(MAX_BUFFERS);
  expect(plan.scans).toEqual([expect.objectContaining({ relation: "ai_ready", rows: 50_000 })]);
});
