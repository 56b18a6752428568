/** Where claims begin while a snapshot is held: surveys, steps, and what they cost. */
import { expect, vi } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { createLaneStarts } from "../../src/store/lane-starts.ts";
import { test } from "../support/db.ts";
import { claimAs, givenJob, newJob } from "../support/jobs.ts";
import { fixed, idsOf, past, startAt } from "./lane-places.ts";

const SLOW_MS = 100;

/** With a clock of its own, where every snapshot is old enough. */
function surveyed(db: Database, oldSnapshotSeconds = 0, quickSurveyMs = 0) {
  const clock = { ms: 0 };
  const onError = vi.fn();
  const [steps, surveys, looks, onSurvey] = [vi.fn(), vi.fn(), vi.fn(), vi.fn()];
  const counted = (pool: Database["sql"], asked: () => void) =>
    Object.assign(
      (...args: Parameters<Database["sql"]>) => {
        asked();
        return pool(...args);
      },
      { unsafe: pool.unsafe },
    ) as unknown as Database["sql"];
  const drizzle = { execute: (...args: [never]) => db.drizzle.execute(...args).finally(looks) } as never;
  const starts = createLaneStarts({
    db: { sql: counted(db.sql, steps), surveys: counted(db.surveys, surveys), drizzle },
    onError,
    onSurvey,
    now: () => clock.ms,
    oldSnapshotSeconds,
    quickSurveyMs,
  });
  return { starts, clock, onError, steps, surveys, looks, onSurvey };
}

test("nothing is asked while claims are quick, and nothing kept while no snapshot is old", async ({ db }) => {
  await givenJob(db);
  const { starts, surveys, looks } = surveyed(db);
  starts.took(1);
  expect(starts.of([])).toBeUndefined();
  const young = surveyed(db, 3_600);
  young.starts.took(SLOW_MS);
  await vi.waitFor(() => expect(young.looks).toHaveBeenCalledTimes(1));
  // The next look is allowed once this one has ended, a second later.
  await vi.waitFor(() => {
    young.clock.ms += 1_000;
    young.starts.took(SLOW_MS);
    expect(young.looks).toHaveBeenCalledTimes(2);
  });
  expect(young.starts.of([])).toBeUndefined();
  expect(young.surveys).not.toHaveBeenCalled();
  expect([looks.mock.calls, surveys.mock.calls]).toEqual([[], []]);
});

test("where a look from the front took seconds the lanes are surveyed whatever snapshots can be seen", async ({
  db,
}) => {
  const first = await givenJob(db, { runAt: past(60) });
  const { starts, looks } = surveyed(db, 3_600);
  starts.took(1_000);
  const own = await startAt(db, first);
  await vi.waitFor(() => expect(starts.of([])).toEqual([own]));
  expect(looks).not.toHaveBeenCalled();
});

test("a process that is busy takes every look for a slow one: a survey that is quick by Postgres' clock keeps nothing", async ({
  db,
}) => {
  await givenJob(db, { runAt: past(60) });
  const busy = surveyed(db, 0, 60_000);
  busy.starts.took(1_000);
  await vi.waitFor(() => expect(busy.surveys).toHaveBeenCalledTimes(1));
  // The next survey is allowed once this one has ended, a second later.
  await vi.waitFor(() => {
    busy.clock.ms += 1_000;
    busy.starts.took(1_000);
    expect(busy.surveys).toHaveBeenCalledTimes(2);
  });
  expect(busy.starts.of([])).toBeUndefined();
  expect(busy.onSurvey).not.toHaveBeenCalled();
});

test("starts that are of no more use are let go, and who missed is told to look again", async ({ db }) => {
  await givenJob(db, { runAt: past(60) });
  const { starts, clock, onSurvey } = surveyed(db);
  starts.took(SLOW_MS);
  await vi.waitFor(() => expect(starts.of([])).toHaveLength(1));
  await givenJobs(db, 501);
  clock.ms += 1_000;
  await vi.waitFor(() => expect(starts.of([])).toBeUndefined());
  expect(onSurvey).toHaveBeenCalledTimes(2);
});

test("a lane that a job is dispatched into is known at once: while there are starts, and while a survey is under way", async ({
  db,
}) => {
  await givenJob(db, { runAt: past(60) });
  const { starts, surveys, onSurvey } = surveyed(db);
  starts.opened({ type: "none", priority: 0 });
  surveys.mockImplementationOnce(() => starts.opened({ type: "meanwhile", priority: 1 }));
  starts.took(SLOW_MS);
  await vi.waitFor(() => expect(onSurvey).toHaveBeenCalledTimes(1));
  const lane = (type: string, priority: number) => ({ type, priority, runAt: "-infinity", id: "0" });
  expect(starts.of(["meanwhile", "none"])).toEqual([lane("meanwhile", 1)]);
  const job = await givenJob(db, { type: "new", priority: 7, runAt: past(90) });
  starts.opened({ type: "new", priority: 7 });
  const known = starts.of(["ocr", "new"]);
  starts.opened({ type: "ocr", priority: 0 });
  expect(starts.of(["ocr", "new"])).toEqual(known);
  expect(await idsOf(db, { types: ["new"], starts })).toEqual([job]);
});

test("a slow claim has the lanes surveyed: the first row of each, once a second at most, until it is refused", async ({
  db,
}) => {
  const [second, first] = [await givenJob(db, { runAt: past(30) }), await givenJob(db, { runAt: past(60) })];
  const other = await givenJob(db, { type: "embedding", priority: 3, runAt: past(10) });
  const { starts, clock, surveys, onSurvey, onError } = surveyed(db);
  starts.took(SLOW_MS);
  const [own, others] = [await startAt(db, first), await startAt(db, other)];
  await vi.waitFor(() => expect(starts.of([])).toEqual([others, own]));
  expect(starts.of(["ocr"])).toEqual([own]);
  expect(starts.of(["none"])).toEqual([]);
  expect(await idsOf(db, { limit: 1, starts, types: ["ocr"] })).toEqual([first]);
  expect(surveys).toHaveBeenCalledTimes(1);
  clock.ms += 1_000;
  const next = await startAt(db, second);
  await vi.waitFor(() => expect(starts.of(["ocr"])).toEqual([next]));
  expect([surveys, onSurvey].map(({ mock }) => mock.calls.length)).toEqual([2, 2]);
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
  expect(await idsOf(db, { types: ["ocr"], starts: own })).toEqual([next]);
});

test("after a claim that missed a survey comes as soon as three times the last one's length are over", async ({
  db,
}) => {
  await givenJob(db, { runAt: past(60) });
  const { starts, clock, surveys, onSurvey } = surveyed(db);
  starts.missed();
  await vi.waitFor(() => expect(onSurvey).toHaveBeenCalledTimes(1));
  surveys.mockImplementation(() => {
    clock.ms += 100;
  });
  clock.ms += 1_000;
  starts.missed();
  await vi.waitFor(() => expect(onSurvey).toHaveBeenCalledTimes(2));
  const early = await givenJob(db, { type: "new", priority: -1, runAt: past(90) });
  starts.missed();
  clock.ms += 299;
  starts.of([]);
  expect(surveys).toHaveBeenCalledTimes(2);
  clock.ms += 1;
  const own = await startAt(db, early);
  await vi.waitFor(() => expect(starts.of(["new"])).toEqual([own]));
  expect(surveys).toHaveBeenCalledTimes(3);
});

test("a survey or a step that fails is told of, and claims go on from where they began", async ({ db }) => {
  const first = await givenJob(db, { runAt: past(60) });
  const { starts, clock, steps, surveys, onError } = surveyed(db);
  starts.took(SLOW_MS);
  const own = await startAt(db, first);
  await vi.waitFor(() => expect(starts.of([])).toEqual([own]));
  const away = () => {
    throw new Error("away");
  };
  steps.mockImplementation(away);
  surveys.mockImplementation(away);
  const failed = async (which: typeof steps, ms: number) => {
    const before = which.mock.calls.length;
    const errors = onError.mock.calls.length;
    await vi.waitFor(() => {
      clock.ms += ms;
      expect(starts.of([])).toEqual([own]);
      expect(which.mock.calls.length).toBeGreaterThan(before);
      expect(onError.mock.calls.length).toBeGreaterThan(errors);
    });
    expect(onError).toHaveBeenLastCalledWith(new Error("away"));
  };
  await failed(steps, 200);
  await failed(surveys, 1_000);
  expect(starts.of([])).toEqual([own]);
});

test("more lanes than 500 are left to the front, but empty ones only as far as there is room", async ({ db }) => {
  const { starts, clock, onSurvey } = surveyed(db);
  await givenJobs(db, 490);
  starts.took(SLOW_MS);
  await vi.waitFor(() => expect(starts.of([])).toHaveLength(490));
  await db.sql`UPDATE ai_job SET status = 'CANCELLED' WHERE priority < 400`;
  const live = await startAt(db, await givenJob(db, { type: "live", runAt: past(60) }));
  for (let at = 0; at < 20; at++) await givenJob(db, { type: `t${at}`, runAt: past(60) });
  clock.ms += 1_000;
  await vi.waitFor(() => expect(starts.of(["live"])).toEqual([live]));
  expect(starts.of([])).toHaveLength(500);
  await givenJobs(db, 501);
  clock.ms += 1_000;
  const before = onSurvey.mock.calls.length;
  await vi.waitFor(() => expect(starts.of([])).toBeUndefined());
  // Told of the one that let them go, and of no more.
  expect(onSurvey).toHaveBeenCalledTimes(before + 1);
});

/** Each of a priority of its own. */
async function givenJobs(db: Database, count: number): Promise<void> {
  await dispatch(
    db.sql,
    Array.from({ length: count }, (_, priority) => newJob({ priority, runAt: past(60) })),
  );
}
