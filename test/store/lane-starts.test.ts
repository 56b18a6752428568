/** Claims that begin behind what a held snapshot keeps in the index: flat, and nothing that lies in front is missed. */
import { expect, vi } from "vitest";
import { clear, fill } from "../../bench/backlog.ts";
import { holdSnapshot } from "../../bench/harness/hold-snapshot.ts";
import { planOf } from "../../bench/plan.ts";
import { type ClaimOptions, claim, claimStatement } from "../../src/store/claim.ts";
import { type Database, HOT, openPool } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { due } from "../../src/store/due.ts";
import { createLaneStarts, type LaneStarts } from "../../src/store/lane-starts.ts";
import type { HandOff, LaneStart } from "../../src/store/rows.ts";
import { pauseType } from "../../src/store/type-pause.ts";
import { test } from "../support/db.ts";
import { claimAs, claimSeats, expectNoDrift, givenJob, givenSeat, newJob } from "../support/jobs.ts";
import { given } from "../support/way.ts";

const SLOW_MS = 100;
const past = (seconds: number) => new Date(Date.now() - seconds * 1_000);

/** As when a survey has found these. */
const fixed = (from: LaneStart[]): LaneStarts => ({
  of: () => from,
  took: () => undefined,
  anew: async () => undefined,
});

/** Where the job of this id stands. */
async function startAt({ sql }: Database, jobId: string): Promise<LaneStart> {
  const [row] = await sql<LaneStart[]>`
    SELECT job_type AS type, priority, next_run_at::text AS "runAt", id::text FROM ai_job WHERE job_id = ${jobId}`;
  if (row === undefined) throw new Error(`no job ${jobId}`);
  return row;
}

async function idsOf(db: Database, more: Partial<ClaimOptions>): Promise<string[]> {
  return (await claimAs(db, "w1", more)).map(({ jobId }) => jobId);
}

test("a claim begins at the starts; what lies in front is found by one that gets nothing", async ({ db }) => {
  const early = await givenJob(db, { runAt: past(90) });
  const [first, second] = [await givenJob(db, { runAt: past(60) }), await givenJob(db, { runAt: past(30) })];
  const other = await givenJob(db, { type: "new", priority: -1 });
  const starts = fixed([await startAt(db, first)]);
  expect(await idsOf(db, { limit: 1, starts })).toEqual([first]);
  expect(await idsOf(db, { limit: 10, starts })).toEqual([second]);
  expect(await idsOf(db, { limit: 10, starts })).toEqual([other, early]);
  expect(await idsOf(db, { limit: 10, starts })).toEqual([]);
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

test("an answer short of what was asked says that there may be more", async ({ db }) => {
  const early = await givenJob(db, { runAt: past(90) });
  const first = await givenJob(db, { runAt: past(60) });
  const options = {
    workerId: "w1",
    types: [],
    limit: 5,
    leaseMs: 60_000,
    maxBytes: 3_000_000,
    token: "t",
    requestId: null,
  };
  const starts = fixed([await startAt(db, first)]);
  const short = await claim(db.sql, { ...options, starts });
  expect(short).toMatchObject({ leases: [{ jobId: first }], isShort: false });
  const rest = await claim(db.sql, { ...options, token: "u", starts });
  expect(rest).toMatchObject({ leases: [{ jobId: early }], isShort: true });
});

/** With a clock of its own, where every snapshot is old enough. */
function surveyed(db: Database, oldSnapshotSeconds = 0) {
  const clock = { ms: 0 };
  const onError = vi.fn();
  const queries = vi.fn();
  const counted = (...args: Parameters<Database["sql"]>) => {
    queries();
    return db.sql(...args);
  };
  const sql = Object.assign(counted, { unsafe: db.sql.unsafe }) as unknown as Database["sql"];
  const starts = createLaneStarts({
    db: { sql, background: sql, drizzle: db.drizzle },
    onError,
    now: () => clock.ms,
    oldSnapshotSeconds,
  });
  return { starts, clock, onError, queries };
}

test("nothing is asked while claims are quick, and nothing kept while no snapshot is old", async ({ db }) => {
  await givenJob(db);
  const { starts, queries } = surveyed(db);
  starts.took(1);
  expect(starts.of([])).toBeUndefined();
  expect(queries).not.toHaveBeenCalled();
  const young = surveyed(db, 3_600);
  young.starts.took(SLOW_MS);
  await vi.waitFor(() => {
    // The next look is allowed once this one has ended.
    young.clock.ms += 1_000;
    young.starts.took(SLOW_MS);
    expect(young.starts.of([])).toBeUndefined();
  });
  expect(young.queries).not.toHaveBeenCalled();
});

test("a slow claim has the lanes surveyed: the first row of each, once a second at most, until it is refused", async ({
  db,
}) => {
  const [second, first] = [await givenJob(db, { runAt: past(30) }), await givenJob(db, { runAt: past(60) })];
  const other = await givenJob(db, { type: "embedding", priority: 3, runAt: past(10) });
  const { starts, clock, queries, onError } = surveyed(db);
  starts.took(SLOW_MS);
  const [own, others] = [await startAt(db, first), await startAt(db, other)];
  await vi.waitFor(() => expect(starts.of([])).toEqual([others, own]));
  expect(starts.of(["ocr"])).toEqual([own]);
  expect(starts.of(["none"])).toEqual([]);
  expect(await idsOf(db, { limit: 1, starts, types: ["ocr"] })).toEqual([first]);
  expect(queries).toHaveBeenCalledTimes(1);
  clock.ms += 1_000;
  const next = await startAt(db, second);
  await vi.waitFor(() => expect(starts.of(["ocr"])).toEqual([next]));
  expect(queries).toHaveBeenCalledTimes(2);
  expect(onError).not.toHaveBeenCalled();
});

test("between two surveys the starts follow what is claimed; what lies in front of them waits for the next survey", async ({
  db,
}) => {
  const [first, second] = [await givenJob(db, { runAt: past(60) }), await givenJob(db, { runAt: past(30) })];
  const lone = await givenJob(db, { type: "embedding", runAt: past(10) });
  const { starts, clock, onError } = surveyed(db);
  starts.took(SLOW_MS);
  const [own, other, next] = [await startAt(db, first), await startAt(db, lone), await startAt(db, second)];
  await vi.waitFor(() => expect(starts.of([])).toEqual([other, own]));
  await claimAs(db, "w1", { limit: 1, starts: fixed([own]), types: ["ocr"] });
  await claimAs(db, "w1", { limit: 1, starts: fixed([other]), types: ["embedding"] });
  const early = await givenJob(db, { runAt: past(90) });
  clock.ms += 199;
  expect(starts.of([])).toEqual([other, own]);
  clock.ms += 1;
  // A lane that is empty now begins where the next job of it will lie.
  const ofLate = { type: "embedding", priority: 0, runAt: expect.any(String), id: "0" };
  await vi.waitFor(() => expect(starts.of([])).toEqual([ofLate, next]));
  expect(Date.now() - Date.parse(starts.of(["embedding"])?.[0]?.runAt ?? "")).toBeLessThan(10_000);
  clock.ms += 800;
  const earliest = await startAt(db, early);
  await vi.waitFor(() => expect(starts.of([])).toEqual(expect.arrayContaining([earliest, ofLate])));
  expect(onError).not.toHaveBeenCalled();
});

test("a start never lies behind what is dispatched next: not at a job for later, nor at one that has just come", async ({
  db,
}) => {
  await givenJob(db, { runAt: new Date(Date.now() + 3_600_000) });
  await givenJob(db, { type: "embedding" });
  const { starts } = surveyed(db);
  starts.took(SLOW_MS);
  const found = await vi.waitFor(() => starts.of([]) ?? expect.unreachable("no survey yet"));
  expect(found.map(({ type, id }) => [type, id])).toEqual([
    ["embedding", "0"],
    ["ocr", "0"],
  ]);
  const next = await givenJob(db);
  const own = fixed(found.filter(({ type }) => type === "ocr"));
  expect(await idsOf(db, { types: ["ocr"], starts: { ...own, anew: async () => null } })).toEqual([next]);
});

test("a look that fails is told of as a slow one is: a claim that cannot pass over the dead has them surveyed", async ({
  db,
  url,
}) => {
  const took = vi.fn();
  const starts: LaneStarts = { of: () => undefined, took, anew: async () => undefined };
  await db.sql.begin(async (tx) => {
    await tx`LOCK TABLE ai_type_pause IN ACCESS EXCLUSIVE MODE`;
    const hurried = given(openPool({ url, statementTimeoutMs: 50, lockTimeoutMs: 5_000 }, 1, HOT));
    const claimed = claimAs({ ...db, sql: hurried }, "w1", { starts });
    await expect(claimed).rejects.toMatchObject({ code: "57014" });
  });
  expect(took).toHaveBeenCalledExactlyOnceWith(expect.any(Number));
  expect(took.mock.calls[0]?.[0]).toBeGreaterThanOrEqual(40);
});

test("who found nothing is answered by a survey that began since, one for all; where one has just been, by nothing", async ({
  db,
}) => {
  await givenJob(db, { runAt: past(60) });
  const { starts, clock, queries } = surveyed(db);
  expect(await starts.anew([])).toBeUndefined();
  starts.took(SLOW_MS);
  await vi.waitFor(() => expect(starts.of([])).toHaveLength(1));
  const early = await givenJob(db, { type: "new", priority: -1, runAt: past(90) });
  queries.mockClear();
  clock.ms += 10;
  const found = await Promise.all([starts.anew(["new"]), starts.anew(["new"]), starts.anew([])]);
  const own = await startAt(db, early);
  expect(found).toEqual([[own], [own], expect.arrayContaining([own])]);
  expect(queries).toHaveBeenCalledTimes(1);
  // It took no time by this clock, so the next who asks has one of its own.
  clock.ms += 1;
  expect(await starts.anew(["none"])).toEqual([]);
  expect(queries).toHaveBeenCalledTimes(2);
});

test("a claim that finds nothing asks once, and believes the answer", async ({ db }) => {
  const [early, late] = [await givenJob(db, { runAt: past(90) }), await givenJob(db, { runAt: past(30) })];
  const asked = vi.fn();
  const behind = await startAt(db, late);
  const front = await startAt(db, early);
  const starts = (anew: LaneStart[] | null): LaneStarts => ({
    ...fixed([behind]),
    anew: async (types) => {
      asked(types);
      return anew;
    },
  });
  expect(await idsOf(db, { starts: starts(null) })).toEqual([late]);
  expect(asked).not.toHaveBeenCalled();
  expect(await idsOf(db, { types: ["ocr"], starts: starts(null) })).toEqual([]);
  expect(await idsOf(db, { types: ["ocr"], starts: starts([front]) })).toEqual([early]);
  expect(await idsOf(db, { types: ["ocr"], starts: starts([front]) })).toEqual([]);
  expect(asked.mock.calls).toEqual([[["ocr"]], [["ocr"]], [["ocr"]]]);
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

test("a survey that fails leaves claims at the front, and is told of", async ({ db }) => {
  const failing = createLaneStarts({
    db: {
      sql: db.sql,
      background: db.background,
      drizzle: { execute: () => Promise.reject(new Error("away")) } as never,
    },
    onError: (err) => errors.push(err),
  });
  const errors: unknown[] = [];
  failing.took(SLOW_MS);
  await vi.waitFor(() => expect(errors).toEqual([new Error("away")]));
  expect(failing.of([])).toBeUndefined();
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
