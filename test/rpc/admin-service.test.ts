import { expect } from "vitest";
import { recordSeen } from "../../src/store/workers.ts";
import { givenRows } from "../store/given-rows.ts";
import { test } from "../support/db.ts";
import { startMoves } from "../support/moves.ts";
import { recordedMoves, SERVICE_LIMITS, serviceClients } from "./service-clients.ts";

const { moves } = recordedMoves();

test("the server says what it is and which limits it holds to", async ({ db }) => {
  const { admin } = serviceClients({ moves, db });
  const info = await admin.getServerInfo({});
  expect(info).toMatchObject({
    version: "0.1.0",
    instanceId: "one",
    startedAt: { seconds: 1_767_323_045n, nanos: 678_000_000 },
    postgresVersion: expect.stringMatching(/^\d+(\.\d+)?/),
    nodeVersion: process.version,
    limits: {
      leaseTtl: { seconds: 120n, nanos: 0 },
      shimLeaseTtl: { seconds: 90n, nanos: 0 },
      maxPayloadBytes: 1_048_576n,
      maxResultBytes: 8_388_608n,
      maxRequestBytes: 16_777_216n,
      maxAnswerBytes: 3_145_728n,
      maxBatch: 1_000,
      maxWait: { seconds: 30n, nanos: 0 },
    },
  });
  expect(Math.abs(Number(info.databaseTime?.seconds) - Date.now() / 1_000)).toBeLessThan(60);
});

test("a paused type is not handed out until it is resumed", async ({ db }) => {
  await using broker = startMoves(db);
  const { admin, jobs, worker } = serviceClients({ moves: broker.moves, db });
  await jobs.dispatch({ jobs: [{ type: "ocr" }] });
  const { pause } = await admin.pauseType({ type: "ocr", reason: "the scanner is broken" });
  expect(pause).toMatchObject({ type: "ocr", reason: "the scanner is broken" });
  expect((await admin.pauseType({ type: "ocr", reason: "again" })).pause).toEqual(pause);
  expect((await worker.claim({ workerId: "w" })).jobs).toEqual([]);
  expect((await admin.getStats({})).types).toMatchObject([{ type: "ocr", due: 1n, paused: true }]);
  expect(await admin.resumeType({ type: "ocr" })).toMatchObject({ resumed: true });
  expect(await admin.resumeType({ type: "ocr" })).toMatchObject({ resumed: false });
  expect((await worker.claim({ workerId: "w" })).jobs).toHaveLength(1);
});

test("a claim that waits is told of a resume, and of none where nothing was paused", async ({ db }) => {
  const { moves, calls } = recordedMoves();
  const { admin } = serviceClients({ moves, db });
  await admin.resumeType({ type: "ocr" });
  expect(calls).toEqual([]);
  await admin.pauseType({ type: "ocr" });
  await admin.resumeType({ type: "ocr" });
  expect(calls).toEqual([{ move: "resumed", args: [] }]);
});

test("statistics come by type, with how long the oldest has been due", async ({ db }) => {
  await givenRows(db, [
    { job_id: "1", next_run_at: new Date(Date.now() - 3_600_000).toISOString() },
    { job_id: "2", next_run_at: "2999-01-01Z" },
    { job_id: "3", status: "FAILED" },
    { job_id: "4", job_type: "other", status: "RUNNING" },
  ]);
  const { admin } = serviceClients({ moves, db });
  const { types } = await admin.getStats({ includeEnded: true });
  expect(types).toMatchObject([
    { type: "ocr", due: 1n, scheduled: 1n, running: 0n, done: 0n, failed: 1n, cancelled: 0n, paused: false },
    { type: "other", due: 0n, scheduled: 0n, running: 1n },
  ]);
  expect(Math.abs(Number(types[0]?.oldestDue?.seconds) - 3_600)).toBeLessThan(60);
  expect(types[1]?.oldestDue).toBeUndefined();
});

test("workers are listed with what they hold; past the answer's limit without their lists", async ({ db }) => {
  const ids = ["a", "b", "c"];
  await recordSeen(
    db.sql,
    ids.map((workerId) => ({ workerId, legacy: workerId === "b", types: ["ocr"] })),
  );
  await givenRows(
    db,
    ids.map((id) => ({ job_id: `job-of-${id}`, status: "RUNNING", locked_by: id, lease_token: "t" }) as const),
  );
  const { workers } = await serviceClients({ moves, db }).admin.listWorkers({});
  expect(workers).toMatchObject(
    ids.map((workerId) => ({
      workerId,
      legacy: workerId === "b",
      running: 1,
      types: ["ocr"],
      jobIds: [`job-of-${workerId}`],
    })),
  );
  expect(workers[0]?.lastSeenAt).toBeDefined();
  const limits = { ...SERVICE_LIMITS, maxAnswerBytes: 100 };
  const short = await serviceClients({ moves, db, limits }).admin.listWorkers({});
  expect(short.workers.map(({ running, jobIds }) => [running, jobIds.length])).toEqual([
    [1, 1],
    [1, 1],
    [1, 0],
  ]);
});
