/** Another priority for jobs that wait. */
import { expect } from "vitest";
import { update } from "../../src/store/update.ts";
import { test } from "../support/db.ts";
import { claimAs, done, expectNoDrift, givenJob, givenLease, reportAll, rowOf } from "../support/jobs.ts";
import { told } from "../support/told.ts";

test("claims go by the new priority, and jobs of one priority keep their order", async ({ db }) => {
  const ids = [];
  for (let n = 0; n < 4; n++) ids.push(await givenJob(db));
  const [a, b, c, d] = ids as [string, string, string, string];
  expect(await update(db.sql, [d, b], -5)).toMatchObject([
    { jobId: d, outcome: "UPDATED", status: "PENDING", type: "ocr" },
    { jobId: b, outcome: "UPDATED", status: "PENDING", type: "ocr" },
  ]);
  await update(db.sql, [a], 7);
  await expectNoDrift(db);
  expect((await claimAs(db, "w1", { limit: 4 })).map(({ jobId, priority }) => [jobId, priority])).toEqual([
    [b, -5],
    [d, -5],
    [c, 0],
    [a, 7],
  ]);
  await expectNoDrift(db);
});

test("each id is answered in its place; only what waits gets it", async ({ db }) => {
  const running = await givenJob(db);
  await givenLease(db);
  const ended = await givenJob(db);
  await reportAll(db, done(await givenLease(db)));
  const waiting = await givenJob(db);
  const answers = await update(db.sql, [running, waiting, "none", ended, waiting], 9);
  expect(answers.map(({ jobId, outcome, status }) => [jobId, outcome, status])).toEqual([
    [running, "UNCHANGED", "RUNNING"],
    [waiting, "UPDATED", "PENDING"],
    ["none", "NOT_FOUND", null],
    [ended, "UNCHANGED", "DONE"],
    [waiting, "UPDATED", "PENDING"],
  ]);
  for (const jobId of [running, ended]) expect((await rowOf(db, jobId))["priority"]).toBe(0);
  await expectNoDrift(db);
});

test("a job that is scheduled for later stays so", async ({ db }) => {
  const runAt = new Date("2999-01-01T00:00:00Z");
  const jobId = await givenJob(db, { runAt });
  await update(db.sql, [jobId], -1_000);
  expect(await claimAs(db, "w1")).toEqual([]);
  expect(await rowOf(db, jobId)).toMatchObject({ priority: -1_000, next_run_at: runAt });
  await expectNoDrift(db);
});

test("it is no transition: nothing is told, and a job that has the priority already is not written", async ({ db }) => {
  const jobId = await givenJob(db);
  await update(db.sql, [jobId], 3);
  const before = await rowOf(db, jobId);
  expect(await update(db.sql, [jobId], 3)).toMatchObject([{ outcome: "UPDATED", type: null }]);
  expect(await rowOf(db, jobId)).toEqual(before);
  expect((await told(db)).map(({ kind }) => kind)).toEqual(["dispatched"]);
});

test("jobs that are claimed while their priority changes are claimed once, and none is left behind", async ({ db }) => {
  const ids = await Promise.all(Array.from({ length: 80 }, () => givenJob(db)));
  const claimed: string[] = [];
  const worker = async (workerId: string) => {
    while (claimed.length < ids.length) {
      claimed.push(...(await claimAs(db, workerId, { limit: 3 })).map(({ jobId }) => jobId));
    }
  };
  const operator = async (priorities: number[]) => {
    for (const priority of priorities) await update(db.sql, ids, priority);
  };
  await Promise.all([worker("w1"), worker("w2"), operator([1, 2, 3, 4, 5]), operator([-1, -2, -3, -4, -5])]);
  expect(claimed.sort()).toEqual([...ids].sort());
  await expectNoDrift(db);
});
