import { expect } from "vitest";
import { brokerSeen, endSessions, openSessions } from "../../src/store/sessions.ts";
import { forgetWorkers, listWorkers, recordSeen } from "../../src/store/workers.ts";
import { test } from "../support/db.ts";
import { opening } from "../support/jobs.ts";
import { givenRows } from "./given-rows.ts";

test("a worker is listed with the types of its last claim", async ({ db }) => {
  await recordSeen(db.sql, [
    { workerId: 'odd "{name}, 한', legacy: false, types: ['a "b", {c}', "d\\e"] },
    { workerId: "old", legacy: true, types: [] },
  ]);
  expect(await listWorkers(db)).toEqual([
    {
      workerId: 'odd "{name}, 한',
      legacy: false,
      types: ['a "b", {c}', "d\\e"],
      firstSeenAt: expect.any(Date),
      lastSeenAt: expect.any(Date),
      running: 0,
      jobIds: [],
      streams: [],
      lastStreamEndedAt: null,
    },
    expect.objectContaining({ workerId: "old", legacy: true, types: [] }),
  ]);
});

test("seen again, its types stand unless it claimed anew, and the first time stays", async ({ db }) => {
  await recordSeen(db.sql, [{ workerId: "w", legacy: false, types: ["ocr"] }]);
  await db.sql`UPDATE ai_worker SET first_seen_at = '2026-01-01Z', last_seen_at = '2026-01-01Z'`;
  await recordSeen(db.sql, [{ workerId: "w", legacy: false, types: null }]);
  const [seen] = await listWorkers(db);
  expect(seen).toMatchObject({ types: ["ocr"], firstSeenAt: new Date("2026-01-01T00:00:00Z") });
  expect(seen?.lastSeenAt?.getTime()).toBeGreaterThan(Date.parse("2026-01-02T00:00:00Z"));
  await recordSeen(db.sql, [{ workerId: "w", legacy: false, types: [] }]);
  expect(await listWorkers(db)).toMatchObject([{ types: [] }]);
});

test("nobody seen is nothing written", async ({ db }) => {
  await recordSeen(db.sql, []);
  expect(await listWorkers(db)).toEqual([]);
});

test("shown are those of the last day, and those who hold a lease, the latest first", async ({ db }) => {
  const ids = ["gone", "idle", "busy"];
  await recordSeen(
    db.sql,
    ids.map((workerId) => ({ workerId, legacy: false, types: null })),
  );
  await db.sql`UPDATE ai_worker SET last_seen_at = now() - interval '25 hours' WHERE worker_id <> 'idle'`;
  await givenRows(db, [
    { job_id: "j1", status: "RUNNING", locked_by: "busy", lease_token: "t" },
    { job_id: "j2", status: "RUNNING", locked_by: "django", locked_at: "2026-01-02T01:00:00Z" },
    { job_id: "j3", status: "RUNNING", locked_by: "new", lease_token: "t", locked_at: "2026-01-02T00:00:00Z" },
    // The seed's heartbeat writes nothing else.
    { job_id: "j4", status: "RUNNING", locked_by: "django", last_heartbeat_at: "2026-01-02T03:04:05Z" },
    { job_id: "j5", status: "RUNNING" },
  ]);
  const workers = await listWorkers(db);
  expect(workers.map(({ workerId, legacy, jobIds }) => [workerId, legacy, jobIds])).toEqual([
    ["idle", false, []],
    ["busy", false, ["j1"]],
    // Never seen by a broker: a lease without a token is Django's own.
    ["django", true, ["j2", "j4"]],
    ["new", false, ["j3"]],
  ]);
  const lastSeenAt = new Date("2026-01-02T03:04:05Z");
  expect(workers[2]).toMatchObject({ firstSeenAt: null, lastSeenAt, running: 2, types: [] });
});

test("of many leases a hundred are named and all counted", async ({ db }) => {
  await givenRows(
    db,
    Array.from({ length: 150 }, (_, n) => ({ job_id: `j${n}`, status: "RUNNING", locked_by: "w" }) as const),
  );
  const [worker] = await listWorkers(db);
  expect(worker?.running).toBe(150);
  expect(worker?.jobIds).toHaveLength(100);
});

test("workers of the day before are forgotten unless they hold a lease", async ({ db }) => {
  const ids = ["gone", "idle", "busy"];
  await recordSeen(
    db.sql,
    ids.map((workerId) => ({ workerId, legacy: false, types: null })),
  );
  await db.sql`UPDATE ai_worker SET last_seen_at = now() - interval '25 hours' WHERE worker_id <> 'idle'`;
  await givenRows(db, [{ job_id: "j1", status: "RUNNING", locked_by: "busy" }]);
  expect(await forgetWorkers(db.sql)).toBe(1);
  expect((await listWorkers(db)).map((worker) => worker.workerId)).toEqual(["idle", "busy"]);
});

test("a worker with a live stream is shown with it, seen or not; one that ended or lost its broker is none", async ({
  db,
}) => {
  await brokerSeen(db.sql, "b1");
  const hellos = [
    opening("i1", { workerId: "old", types: ["ocr"], maxInFlight: 7, client: 'test "1"' }),
    opening("i2", { workerId: "new", types: ['a "b"', "c"] }),
    opening("i3", { workerId: "ended" }),
  ];
  await openSessions(db.sql, "b1", hellos);
  await openSessions(db.sql, "b2", [opening("i4", { workerId: "lost" })]);
  await endSessions(db.sql, hellos.slice(2));
  await recordSeen(db.sql, [{ workerId: "old", legacy: false, types: [] }]);
  await db.sql`UPDATE ai_worker SET last_seen_at = now() - interval '25 hours'`;
  const stream = {
    instanceId: "i1",
    sessionId: hellos[0]?.sessionId,
    brokerId: "b1",
    maxInFlight: 7,
    connectedAt: expect.any(Date),
    client: 'test "1"',
  };
  const workers = await listWorkers(db);
  expect(workers).toEqual([
    {
      workerId: "new",
      legacy: false,
      types: ['a "b"', "c"],
      firstSeenAt: null,
      lastSeenAt: workers[0]?.streams[0]?.connectedAt,
      running: 0,
      jobIds: [],
      streams: [expect.objectContaining({ instanceId: "i2" })],
      lastStreamEndedAt: null,
    },
    expect.objectContaining({ workerId: "old", types: [], running: 0, jobIds: [], streams: [stream] }),
  ]);
  const [row] = await db.sql`SELECT connected_at FROM ai_session WHERE instance_id = 'i1'`;
  expect(workers[1]?.streams[0]?.connectedAt).toEqual(row?.["connected_at"]);
  expect(await forgetWorkers(db.sql)).toBe(0);
  await db.sql`UPDATE ai_broker SET seen_at = now() - interval '16 seconds'`;
  expect(await listWorkers(db)).toEqual([]);
  expect(await forgetWorkers(db.sql)).toBe(1);
});

test("of the streams that are over the newest end is told; one that lost its broker ended 15 s after that was seen", async ({
  db,
}) => {
  const ended = [1, 2, 3].map((n) => opening(`e${n}`, { workerId: "ended" }));
  await brokerSeen(db.sql, "b1");
  await brokerSeen(db.sql, "b2");
  await openSessions(db.sql, "b1", [...ended, opening("open", { workerId: "open" })]);
  await openSessions(db.sql, "b2", [opening("lost", { workerId: "lost" })]);
  await openSessions(db.sql, "b3", [opening("orphan", { workerId: "orphan" })]);
  await endSessions(db.sql, ended);
  await db.sql`UPDATE ai_session SET ended_at = timestamptz '2026-01-01Z' + interval '1 day' * substr(instance_id, 2)::int
    WHERE ended_at IS NOT NULL`;
  await db.sql`UPDATE ai_broker SET seen_at = '2026-01-05Z' WHERE broker_id = 'b2'`;
  await db.sql`UPDATE ai_session SET connected_at = '2026-01-06Z' WHERE broker_id = 'b3'`;
  const ids = ["ended", "lost", "open", "orphan"];
  await recordSeen(
    db.sql,
    ids.map((workerId) => ({ workerId, legacy: false, types: null })),
  );
  expect((await listWorkers(db)).map(({ workerId, lastStreamEndedAt: at }) => [workerId, at?.toISOString()])).toEqual([
    ["ended", "2026-01-04T00:00:00.000Z"],
    ["lost", "2026-01-05T00:00:15.000Z"],
    ["open", undefined],
    ["orphan", "2026-01-06T00:00:00.000Z"],
  ]);
});

test("of many streams the newest hundred are named", async ({ db }) => {
  await brokerSeen(db.sql, "b1");
  await openSessions(
    db.sql,
    "b1",
    Array.from({ length: 120 }, (_, n) => opening(`i${n}`, { workerId: "w" })),
  );
  await db.sql`UPDATE ai_session SET connected_at = now() - interval '1 second' * substr(instance_id, 2)::int`;
  const [worker] = await listWorkers(db);
  expect(worker?.streams.map((stream) => stream.instanceId)).toEqual(Array.from({ length: 100 }, (_, n) => `i${n}`));
});

test("two brokers that write the same workers at once do not deadlock", async ({ db }) => {
  const rows = Array.from({ length: 200 }, (_, n) => ({ workerId: `w${n}`, legacy: false, types: null }));
  const writes = Array.from({ length: 20 }, (_, n) => recordSeen(db.sql, n % 2 === 0 ? rows : rows.toReversed()));
  await Promise.all(writes);
  expect(await listWorkers(db)).toHaveLength(200);
});
