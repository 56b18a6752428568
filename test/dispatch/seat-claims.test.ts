/** Claims for many streams on a real database, as the dispatcher gets them: what came, and whether more may be there. */
import pino from "pino";
import { expect, onTestFinished } from "vitest";
import { createSeatClaims, type SeatClaimsOptions } from "../../src/dispatch/seat-claims.ts";
import type { Database } from "../../src/store/db.ts";
import type { Seat } from "../../src/store/rows.ts";
import { endSessions, openSessions } from "../../src/store/sessions.ts";
import { openTestDatabase, test } from "../support/db.ts";
import { claimAs, expectNoDrift, givenJob } from "../support/jobs.ts";

/** A current session of this instance. */
async function givenSeat(db: Database, instanceId: string): Promise<Seat> {
  const seat = { instanceId, sessionId: `s-${instanceId}`, workerId: `w-${instanceId}` };
  await openSessions(db.reserved, "broker", [{ ...seat, types: [], maxInFlight: 9, client: "" }]);
  return seat;
}

function seatClaims(db: Database, more: Partial<SeatClaimsOptions> = {}) {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: "trace" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const claim = createSeatClaims({ sql: db.sql, log, leaseMs: 60_000, maxAnswerBytes: 3_000_000, ...more });
  return { claim, lines };
}

test("the nth job goes to the nth seat, each is one log line, and all seats full means there may be more", async ({
  db,
}) => {
  const { claim, lines } = seatClaims(db);
  const [one, two] = [await givenSeat(db, "1"), await givenSeat(db, "2")];
  for (const id of ["a", "b", "c", "d"]) await givenJob(db, { id });
  const { leases, isShort, deadSeats } = await claim([], [one, two, one]);
  expect(leases.map(({ jobId, instanceId, workerId }) => [jobId, instanceId, workerId])).toEqual([
    ["a", "1", "w-1"],
    ["b", "2", "w-2"],
    ["c", "1", "w-1"],
  ]);
  expect([isShort, deadSeats]).toEqual([false, 0]);
  expect(lines.map((line) => [line["move"], line["job_id"], line["worker"]])).toEqual([
    ["claim", "a", "w-1"],
    ["claim", "b", "w-2"],
    ["claim", "c", "w-1"],
  ]);
});

test("fewer jobs than seats, or none, means that there are no more", async ({ db }) => {
  const { claim } = seatClaims(db);
  const seat = await givenSeat(db, "1");
  await givenJob(db);
  expect(await claim([], [seat, seat])).toMatchObject({ leases: [{}], isShort: true });
  expect(await claim([], [seat, seat])).toMatchObject({ leases: [], isShort: true });
});

test("other types than those asked for are no jobs that are left", async ({ db }) => {
  const { claim } = seatClaims(db);
  const seat = await givenSeat(db, "1");
  await givenJob(db, { type: "a" });
  await givenJob(db, { type: "b" });
  expect(await claim(["a"], [seat, seat])).toMatchObject({ leases: [{ type: "a" }], isShort: true });
});

test("a claim with a seat whose session is over says so, and not that the queue is empty", async ({ db }) => {
  const { claim } = seatClaims(db);
  const [dead, alive] = [await givenSeat(db, "dead"), await givenSeat(db, "alive")];
  await endSessions(db.reserved, [dead]);
  for (const id of ["a", "b", "c"]) await givenJob(db, { id });
  const first = await claim([], [dead, alive]);
  expect(first).toMatchObject({ leases: [{ jobId: "a", instanceId: "alive" }], isShort: false, deadSeats: 1 });
  expect(await claim([], [dead])).toMatchObject({ leases: [], isShort: false, deadSeats: 1 });
  expect(await claim([], [dead, alive, alive, alive])).toMatchObject({ leases: [{}, {}], isShort: true, deadSeats: 1 });
});

test("an answer that was cut by its size means that there may be more, however large the next job is", async ({
  db,
}) => {
  const { claim } = seatClaims(db, { maxAnswerBytes: 20_000 });
  const seat = await givenSeat(db, "1");
  const payload = (bytes: number) => JSON.stringify({ text: "x".repeat(bytes) });
  await givenJob(db, { id: "small", payload: payload(10) });
  await givenJob(db, { id: "huge", payload: payload(60_000) });
  await givenJob(db, { id: "last", payload: payload(10) });
  expect(await claim([], [seat, seat, seat])).toMatchObject({ leases: [{ jobId: "small" }], isShort: false });
  expect(await claim([], [seat, seat, seat])).toMatchObject({ leases: [{ jobId: "huge" }], isShort: false });
  expect(await claim([], [seat, seat, seat])).toMatchObject({ leases: [{ jobId: "last" }], isShort: true });
});

test("jobs that were met and ended are not taken for the end of the queue", async ({ db }) => {
  const { claim, lines } = seatClaims(db);
  const seat = await givenSeat(db, "1");
  for (const id of ["spent-1", "spent-2"]) {
    await givenJob(db, { id, maxAttempts: 1 });
    await db.sql`UPDATE ai_job SET attempt_count = 1 WHERE job_id = ${id}`;
  }
  for (const id of ["good-1", "good-2", "good-3"]) await givenJob(db, { id });
  expect(await claim([], [seat, seat, seat])).toMatchObject({ leases: [{ jobId: "good-1" }], isShort: false });
  expect(lines.map((line) => [line["job_id"], line["to"]])).toEqual([
    ["spent-1", "FAILED"],
    ["spent-2", "FAILED"],
    ["good-1", "RUNNING"],
  ]);
  await expectNoDrift(db);
});

test("jobs that another broker is just claiming are not taken for the end of the queue", async ({ db, url }) => {
  const { claim } = seatClaims(db);
  const seat = await givenSeat(db, "1");
  for (const id of ["first-1", "first-2"]) await givenJob(db, { id, priority: 0 });
  for (const id of ["later-1", "later-2", "later-3", "later-4"]) await givenJob(db, { id, priority: 10 });
  const other = openTestDatabase(url);
  onTestFinished(() => other.close());
  await other.sql.begin(async (tx) => {
    await claimAs({ ...other, sql: tx as unknown as Database["sql"] }, "other", { limit: 2 });
    const { leases, isShort } = await claim([], [seat, seat, seat]);
    expect(leases.map(({ jobId }) => jobId)).toEqual(["later-1"]);
    expect(isShort).toBe(false);
  });
});

test("jobs that others hold all are taken for none: whoever holds them takes them", async ({ db, url }) => {
  const { claim } = seatClaims(db);
  const seat = await givenSeat(db, "1");
  await givenJob(db);
  const other = openTestDatabase(url);
  onTestFinished(() => other.close());
  await other.sql.begin(async (tx) => {
    await claimAs({ ...other, sql: tx as unknown as Database["sql"] }, "other", { limit: 2 });
    expect(await claim([], [seat])).toMatchObject({ leases: [], isShort: true, deadSeats: 0 });
  });
});

test("a paused type gives nothing, and is no reason to ask again", async ({ db }) => {
  const { claim } = seatClaims(db);
  const seat = await givenSeat(db, "1");
  await givenJob(db, { type: "a" });
  await db.sql`INSERT INTO ai_type_pause (job_type) VALUES ('a')`;
  expect(await claim(["a"], [seat])).toMatchObject({ leases: [], isShort: true });
});

test("a database that is away is a known error", async ({ url }) => {
  const gone = openTestDatabase(url.replace(/\/[^/]*$/, "/no_such_database"));
  onTestFinished(() => gone.close());
  const { claim } = seatClaims(gone);
  const seat = { instanceId: "1", sessionId: "s", workerId: "w" };
  await expect(claim([], [seat])).rejects.toMatchObject({ reason: "DATABASE_DOWN" });
});
