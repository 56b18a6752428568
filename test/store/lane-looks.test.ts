/** Claims and other looks that begin behind what a held snapshot keeps in the index: flat, and in the order of all claims. */
import { expect, vi } from "vitest";
import { clear, fill } from "../../bench/backlog.ts";
import { holdSnapshot } from "../../bench/harness/hold-snapshot.ts";
import { planOf } from "../../bench/plan.ts";
import { claim, claimStatement } from "../../src/store/claim.ts";
import { HOT, openPool } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { due } from "../../src/store/due.ts";
import type { LaneStarts } from "../../src/store/lane-starts.ts";
import type { HandOff, LaneStart } from "../../src/store/rows.ts";
import { pauseType } from "../../src/store/type-pause.ts";
import { test } from "../support/db.ts";
import { claimAs, claimSeats, expectNoDrift, givenJob, givenSeat, newJob } from "../support/jobs.ts";
import { given } from "../support/way.ts";
import { fixed, idsOf, past, startAt } from "./lane-places.ts";

test("a claim begins at the starts; one that gets nothing says so, and is not short of what lies in front", async ({
  db,
}) => {
  await givenJob(db, { runAt: past(90) });
  const [first, second] = [await givenJob(db, { runAt: past(60) }), await givenJob(db, { runAt: past(30) })];
  await givenJob(db, { type: "new", priority: -1 });
  const missed = vi.fn();
  const starts = fixed([await startAt(db, first)], missed);
  expect(await idsOf(db, { limit: 1, starts })).toEqual([first]);
  expect(await idsOf(db, { limit: 10, starts })).toEqual([second]);
  expect(missed).not.toHaveBeenCalled();
  expect(await idsOf(db, { limit: 10, starts })).toEqual([]);
  expect(missed).toHaveBeenCalledTimes(1);
  await expectNoDrift(db);
});

test("of several starts the order is that of all claims; a paused type waits; seats get theirs, too", async ({
  db,
}) => {
  const seat = await givenSeat(db, "i1");
  const [late, soon] = [
    await givenJob(db, { runAt: past(30) }),
    await givenJob(db, { type: "embedding", runAt: past(60) }),
  ];
  const urgent = await givenJob(db, { type: "zeta", priority: -1 });
  const held = await givenJob(db, { type: "held", priority: -2 });
  await pauseType(db, "held", "");
  const starts = fixed(await Promise.all([late, soon, urgent, held].map((id) => startAt(db, id))));
  const leases = await claimSeats(db, [seat, seat, seat, seat], { starts });
  expect(leases.map(({ jobId }) => jobId)).toEqual([urgent, soon, late]);
});

test("a full answer after one of jobs that only ended is not short", async ({ db }) => {
  const ended = await givenJob(db, { runAt: past(60) });
  const first = await givenJob(db, { runAt: past(50) });
  await givenJob(db, { runAt: past(40) });
  await db.sql`UPDATE ai_job SET cancel_requested_at = now() WHERE job_id = ${ended}`;
  const options = { workerId: "w1", types: [], limit: 1, leaseMs: 60_000, maxBytes: 3_000_000, requestId: null };
  const starts = fixed([await startAt(db, ended)]);
  const full = await claim(db.sql, { ...options, token: "t", starts });
  expect(full).toMatchObject({ leases: [{ jobId: first }], ended: [{ jobId: ended }], isShort: false });
  await claimAs(db, "w1", { starts });
  expect(await claim(db.sql, { ...options, token: "u", starts })).toMatchObject({ leases: [], isShort: true });
});

test("a look that fails is told of as a slow one is: a claim that cannot pass over the dead has them surveyed", async ({
  db,
  url,
}) => {
  const took = vi.fn();
  const starts: LaneStarts = { of: () => undefined, took, missed: () => undefined, opened: () => undefined };
  await db.sql.begin(async (tx) => {
    await tx`LOCK TABLE ai_type_pause IN ACCESS EXCLUSIVE MODE`;
    const hurried = given(openPool({ url, statementTimeoutMs: 50, lockTimeoutMs: 5_000 }, 1, HOT));
    const claimed = claimAs({ ...db, sql: hurried }, "w1", { starts });
    await expect(claimed).rejects.toMatchObject({ code: "57014" });
  });
  expect(took).toHaveBeenCalledExactlyOnceWith(expect.any(Number));
  expect(took.mock.calls[0]?.[0]).toBeGreaterThanOrEqual(40);
});

test("what is due, and whether a job may go straight to a seat, is looked at from the starts as well", async ({
  db,
}) => {
  const early = await givenJob(db, { runAt: past(90) });
  const late = await givenJob(db, { runAt: past(30) });
  const from = [await startAt(db, late)];
  expect(await due(db.sql, 10)).toEqual([{ type: "ocr", count: 2, nextInMs: null }]);
  expect(await due(db.sql, 10, from)).toEqual([{ type: "ocr", count: 1, nextInMs: null }]);
  const emptied = [{ ...(from[0] as LaneStart), runAt: new Date().toISOString() }];
  expect(await due(db.sql, 10, emptied)).toEqual([]);
  const to = { types: [], seats: [await givenSeat(db, "i1")], leaseMs: 60_000, maxBytes: 3_000_000 };
  const handed = async (more: Partial<HandOff>) => {
    const [stored] = await dispatch(db.sql, [newJob()], undefined, { ...to, token: `t-${Math.random()}`, ...more });
    return stored?.lease !== undefined;
  };
  expect(await handed({})).toBe(false);
  expect(await handed({ from })).toBe(false);
  expect(await handed({ from: [] })).toBe(true);
  expect(await idsOf(db, { limit: 1 })).toEqual([early]);
});

test("over 20,000 dead jobs that a snapshot keeps, a claim from the starts touches few pages", async ({ url }) => {
  const sql = openPool({ url, statementTimeoutMs: 20_000, lockTimeoutMs: 5_000 }, 1, HOT);
  await fill(sql, { rows: 20_100, types: ["ocr"], firstDueSeconds: -86_400, stepSeconds: 1 });
  const letGo = await holdSnapshot(url);
  try {
    await sql`DELETE FROM ai_ready WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM ai_ready ORDER BY job_type, priority, run_at, id LIMIT 20000))`;
    const round = { types: [], leaseMs: 60_000, maxBytes: 3_000_000, workerId: "w1", limit: 1, requestId: null };
    const [start] = await sql<LaneStart[]>`
      SELECT job_type AS type, priority, run_at::text AS "runAt", id::text FROM ai_ready ORDER BY run_at, id LIMIT 1`;
    const front = await planOf(sql, () => claimStatement(sql, { ...round, token: "t1" }));
    const from = start === undefined ? [] : [start];
    const flat = await planOf(sql, () => claimStatement(sql, { ...round, token: "t2", from }));
    expect(front.buffers).toBeGreaterThan(300);
    expect(flat.buffers).toBeLessThan(80);
  } finally {
    await letGo();
    await clear(sql);
    await sql.end();
  }
});
