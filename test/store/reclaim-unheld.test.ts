import { expect } from "vitest";
import { cancel } from "../../src/store/cancel.ts";
import type { Sql } from "../../src/store/db.ts";
import { reclaimUnheld } from "../../src/store/reclaim.ts";
import type { SeatLease } from "../../src/store/rows.ts";
import { test } from "../support/db.ts";
import { django } from "../support/django.ts";
import {
  claimSeats,
  done,
  expectNoDrift,
  failed,
  givenJob,
  givenLease,
  givenSeat,
  givenSeatLease,
  reportAll,
  rowOf,
  statusOf,
} from "../support/jobs.ts";

test("takes back at once what the instance does not hold any more, and spends the attempt", async ({ db }) => {
  const ids = [await givenJob(db), await givenJob(db), await givenJob(db), await givenJob(db)];
  const seat = await givenSeat(db, "i1");
  const other = await givenSeat(db, "i2");
  const leases = await claimSeats(db, [seat, seat, other, seat]);
  const back = await reclaimUnheld(db.sql, [{ instanceId: "i1", held: [ids[1] as string] }]);
  expect(back).toEqual(
    [0, 3].map((at) => ({
      jobId: ids[at],
      type: "ocr",
      attempt: 1,
      to: "PENDING",
      durationMs: expect.any(Number),
      workerId: seat.workerId,
      token: leases[at]?.token,
      instanceId: "i1",
    })),
  );
  expect(await rowOf(db, ids[0] as string)).toMatchObject({
    attempt_count: 1,
    returns: 0,
    instance_id: null,
    lease_token: null,
    locked_by: null,
  });
  await expectNoDrift(db);
  expect(await reportAll(db, ...leases.map((lease) => done(lease)))).toEqual([
    "LEASE_LOST",
    "ACCEPTED",
    "ACCEPTED",
    "LEASE_LOST",
  ]);
  expect(await givenLease(db)).toMatchObject({ jobId: ids[0], attempt: 2 });
});

test("serves many instances at once; what one of them holds is kept for all", async ({ db }) => {
  const ids = [await givenJob(db), await givenJob(db), await givenJob(db)];
  const [one, two, three] = [await givenSeat(db, "i1"), await givenSeat(db, "i2"), await givenSeat(db, "i3")];
  await claimSeats(db, [one, two, three]);
  const back = await reclaimUnheld(db.sql, [
    { instanceId: "i2", held: [] },
    { instanceId: "i1", held: [ids[0] as string, "unknown"] },
    { instanceId: "i2", held: [] },
    { instanceId: "unknown", held: [] },
  ]);
  expect(back.map((r) => r.jobId)).toEqual([ids[1]]);
  expect(await statusOf(db, ids[2] as string)).toBe("RUNNING");
  expect(await reclaimUnheld(db.sql, [])).toEqual([]);
  await expectNoDrift(db);
});

test("takes nothing back for a stream that is no longer the current one", async ({ db }) => {
  await givenJob(db);
  const old = await givenSeat(db, "i1");
  await claimSeats(db, [old]);
  const current = await givenSeat(db, "i1");
  expect(await reclaimUnheld(db.sql, [{ ...old, held: [] }])).toEqual([]);
  expect(await reclaimUnheld(db.sql, [{ ...current, held: [] }])).toHaveLength(1);
  await expectNoDrift(db);
});

test("ends a job for which no attempt is left, and one that is to be cancelled", async ({ db }) => {
  const spent = await givenJob(db, { maxAttempts: 1 });
  const cancelled = await givenJob(db);
  const seat = await givenSeat(db, "i1");
  const leases = await claimSeats(db, [seat, seat]);
  await cancel(db.sql, [cancelled], "enough", 60_000);
  const back = await reclaimUnheld(db.sql, [{ instanceId: "i1", held: [] }]);
  expect(back.map((r) => [r.jobId, r.to])).toEqual([
    [spent, "FAILED"],
    [cancelled, "CANCELLED"],
  ]);
  expect(await rowOf(db, spent)).toMatchObject({ last_error: "max_attempts_exceeded" });
  expect(await reportAll(db, ...leases.map((lease) => done(lease)))).toEqual(["LEASE_LOST", "CANCELLED"]);
  await expectNoDrift(db);
});

test("leaves alone what was got by a call, what has ended, and what another transaction holds", async ({ db }) => {
  for (let n = 0; n < 4; n++) await givenJob(db);
  const seat = await givenSeat(db, "i1");
  const leases = await claimSeats(db, [seat, seat, seat]);
  const [reported, retried, held] = leases as [SeatLease, SeatLease, SeatLease];
  await givenLease(db, seat.workerId);
  await reportAll(db, done(reported), failed(retried));
  await db.sql.begin(async (tx) => {
    await tx`SELECT FROM ai_job WHERE job_id = ${held.jobId} FOR UPDATE`;
    expect(await reclaimUnheld(db.reserved, [{ instanceId: "i1", held: [] }])).toEqual([]);
  });
  expect(await reclaimUnheld(db.sql, [{ instanceId: "i1", held: [] }])).toMatchObject([{ jobId: held.jobId }]);
  await expectNoDrift(db);
});

test("leaves a job to Django that took it over, whichever columns it wrote", async ({ db }) => {
  const jobId = await givenJob(db);
  const changes = [
    "locked_by = 'django', lease_expires_at = now() + interval '1 hour'",
    "attempt_count = attempt_count + 1, locked_at = now()",
  ];
  for (const change of changes) {
    await givenSeatLease(db, "i1");
    await db.sql.unsafe(`UPDATE ai_job SET ${change} WHERE job_id = '${jobId}'`);
    expect(await rowOf(db, jobId)).toMatchObject({ instance_id: null, lease_token: null });
    expect(await reclaimUnheld(db.sql, [{ instanceId: "i1", held: [] }])).toEqual([]);
    expect(await statusOf(db, jobId)).toBe("RUNNING");
    await django.publish(db.sql, jobId);
  }
  await expectNoDrift(db);
});

test("finds a lease again whose job an admin has edited meanwhile, since it is still the instance's", async ({
  db,
}) => {
  const jobId = await givenJob(db);
  const lease = await givenSeatLease(db, "i1");
  await django.adminSave(db.sql, jobId);
  await db.sql`UPDATE ai_job SET payload = '{"other": 1}' WHERE job_id = ${jobId}`;
  await expectNoDrift(db);
  expect(await reclaimUnheld(db.sql, [{ instanceId: "i1", held: [] }])).toMatchObject([{ jobId, token: lease.token }]);
});

test("two brokers that ask for the same instances at once take each lease back once", async ({ db }) => {
  const seat = await givenSeat(db, "i1");
  for (let n = 0; n < 40; n++) await givenJob(db);
  const leases = await claimSeats(db, Array(40).fill(seat));
  const asked = [db.sql, db.sql, db.reserved].map((sql: Sql) => reclaimUnheld(sql, [{ instanceId: "i1", held: [] }]));
  const back = (await Promise.all(asked)).flat().map((r) => r.jobId);
  expect(back.sort()).toEqual(leases.map((l) => l.jobId).sort());
  await expectNoDrift(db);
});
