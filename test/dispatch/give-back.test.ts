/** Leases that go back since their worker never saw them, on a real database. */
import { expect } from "vitest";
import type { LeaseNews } from "../../src/dispatch/lease-news.ts";
import type { LeaseRef } from "../../src/store/rows.ts";
import { test } from "../support/db.ts";
import { expectNoDrift, givenJob, givenLease, rowOf } from "../support/jobs.ts";
import { startMoves } from "../support/moves.ts";

function newsBook() {
  const settled: string[] = [];
  const news: LeaseNews = {
    settled: ({ jobId }: LeaseRef) => void settled.push(jobId),
    lost: () => undefined,
    cancelled: () => undefined,
  };
  return { news, settled };
}

test("they are waiting again at once, unburnt, and their seats are free", async ({ db }) => {
  const { news, settled } = newsBook();
  await using broker = startMoves(db, { news });
  await givenJob(db, { id: "x", maxAttempts: 1 });
  const lease = await givenLease(db);
  expect(await broker.moves.giveBack("w1", [lease], "gone")).toMatchObject([{ jobId: "x", released: true }]);
  expect(await rowOf(db, "x")).toMatchObject({ status: "PENDING", attempt_count: 0, deliveries: 1 });
  expect(settled).toEqual(["x"]);
  await expectNoDrift(db);
});

test("but not those that their worker has named since: they stay its own, seat and all", async ({ db }) => {
  const { news, settled } = newsBook();
  await using broker = startMoves(db, { news });
  for (const id of ["seen", "unseen"]) await givenJob(db, { id });
  const leases = [await givenLease(db), await givenLease(db)];
  await broker.moves.heartbeat(
    "w1",
    leases.filter(({ jobId }) => jobId === "seen").map((lease) => ({ ...lease, progress: null })),
  );
  const answer = await broker.moves.giveBack("w1", leases, "gone");
  expect(answer.map(({ jobId, released }) => [jobId, released])).toEqual([
    ["seen", false],
    ["unseen", true],
  ]);
  expect(await rowOf(db, "seen")).toMatchObject({ status: "RUNNING", attempt_count: 1 });
  expect(settled).toEqual(["unseen"]);
  // A release by the worker itself ends them all the same.
  expect(await broker.moves.release("w1", leases.slice(0, 1), "busy")).toMatchObject([{ released: true }]);
  expect(settled).toEqual(["unseen", "seen"]);
  await expectNoDrift(db);
});

test("a job that comes back so again and again fails in the end", async ({ db }) => {
  const { news } = newsBook();
  await using broker = startMoves(db, { news, maxDeliveries: 3 });
  await givenJob(db, { id: "poison", maxAttempts: 1 });
  for (let n = 0; n < 3; n++) await broker.moves.giveBack("w1", [await givenLease(db)], "gone");
  expect(await rowOf(db, "poison")).toMatchObject({ status: "FAILED", last_error: "max_deliveries_exceeded" });
});
