/** Legacy workers' lives, through the shim and on a real database. */
import { afterEach, expect } from "vitest";
import { cancel } from "../../src/store/cancel.ts";
import type { Database } from "../../src/store/db.ts";
import { reclaim } from "../../src/store/reclaim.ts";
import { test } from "../support/db.ts";
import { expectNoDrift, expire, givenJob, givenLease, makeDue, resultsOf, rowOf, statusOf } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { connect, exchange, requestBytes } from "./raw-http.ts";
import { realMoves } from "./real-moves.ts";
import { type ShimServer, startShim, TOKEN } from "./shim-server.ts";

const servers: ShimServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

type Body = Record<string, unknown>;

async function given(db: Database) {
  const moves = realMoves(db);
  const server = await startShim({ moves });
  servers.push(server);
  const headers = (workerId: string): [string, string][] => [
    ["X-Worker-Token", TOKEN],
    ["X-Worker-Id", workerId],
    ["Content-Type", "application/json"],
  ];
  const read = async (bytes: Buffer) => JSON.parse((await exchange(server.port, bytes)).body.toString()) as Body;
  return {
    port: server.port,
    moves,
    poll: async (workerId: string) => {
      const target = "/api/v1/internal/ai/job/next/";
      const { job } = await read(requestBytes({ method: "GET", target, headers: headers(workerId) }));
      return job as { id: string; payload: unknown } | null;
    },
    report: async (workerId: string, body: Body) => {
      const target = "/api/v1/internal/ai/job/result/";
      const request = { method: "POST", target, headers: headers(workerId), body: JSON.stringify(body) };
      return (await read(requestBytes(request)))["detail"];
    },
  };
}

test("a worker takes a job, fails it, takes it again and finishes it", async ({ db }) => {
  const { poll, report } = await given(db);
  const id = await givenJob(db, { payload: '{"n": 9007199254740993}' });
  expect((await poll("w1"))?.id).toBe(id);
  expect(await poll("w2")).toBeNull();
  expect(await report("w1", { job_id: id, status: "FAILED", error: "boom", result: { half: true } })).toBe(
    "failed_recorded",
  );
  expect(await rowOf(db, id)).toMatchObject({
    status: "PENDING",
    last_error: "boom",
    locked_by: null,
    attempt_count: 1,
  });
  expect(await resultsOf(db, id)).toEqual([]);
  expect(await poll("w1")).toBeNull();
  await makeDue(db, id);
  expect((await poll("w2"))?.id).toBe(id);
  expect(await report("w2", { job_id: id, status: "DONE", result: { text: "ok" } })).toBe("done");
  expect(await report("w2", { job_id: id, status: "DONE", result: { text: "again" } })).toBe("duplicate_ignored");
  expect(await rowOf(db, id)).toMatchObject({
    status: "DONE",
    error_message: "",
    last_error: "boom",
    locked_by: "w2",
    attempt_count: 2,
  });
  expect(await resultsOf(db, id)).toEqual(['{"text": "ok"}']);
  await expectNoDrift(db);
});

test("a DONE counts whoever sends it, a FAILED only from the holder", async ({ db }) => {
  const { poll, report } = await given(db);
  const id = await givenJob(db);
  await poll("w1");
  expect(await report("w2", { job_id: id, status: "FAILED", error: "not mine" })).toBe("duplicate_ignored");
  expect(await rowOf(db, id)).toMatchObject({ status: "RUNNING", locked_by: "w1", last_error: "" });
  expect(await report("w2", { job_id: id })).toBe("done");
  expect(await report("w1", { job_id: id, status: "FAILED", error: "late" })).toBe("duplicate_ignored");
  expect(await rowOf(db, id)).toMatchObject({ status: "DONE", locked_by: "w1" });
  expect(await resultsOf(db, id)).toEqual([null]);
});

test("a result row that Django left behind a FAILED is replaced by the DONE", async ({ db }) => {
  const { poll, report } = await given(db);
  const id = await givenJob(db);
  await db.sql`INSERT INTO ai_result (payload, job_id) SELECT '{"old": 1}', id FROM ai_job WHERE job_id = ${id}`;
  await poll("w1");
  expect(await report("w1", { job_id: id, result: { fresh: 1 } })).toBe("done");
  expect(await resultsOf(db, id)).toEqual(['{"fresh": 1}']);
});

test("an expired lease is taken back before the claim, and can be its answer", async ({ db }) => {
  const { poll } = await given(db);
  const id = await givenJob(db);
  const spent = await givenJob(db, { maxAttempts: 1 });
  expect((await poll("w1"))?.id).toBe(id);
  expect((await poll("w1"))?.id).toBe(spent);
  await expire(db, id);
  await expire(db, spent);
  expect((await poll("w2"))?.id).toBe(id);
  expect(await rowOf(db, spent)).toMatchObject({ status: "FAILED", last_error: "max_attempts_exceeded" });
});

test("pollers at the same time get different jobs", async ({ db }) => {
  const { poll } = await given(db);
  const ids = [await givenJob(db), await givenJob(db), await givenJob(db)];
  const got = await Promise.all(["w1", "w2", "w3", "w4"].map(poll));
  expect(got.map((job) => job?.id ?? "none").sort()).toEqual([...ids, "none"].sort());
});

test("a job whose poller left before the answer waits again with its attempt unspent", async ({ db }) => {
  const { port } = await given(db);
  const id = await givenJob(db);
  // A lock on the job holds the claim until the poller is gone; SKIP LOCKED cannot see it on the state tables.
  const held = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const blocker = db.sql.begin(async (tx) => {
    await tx`LOCK TABLE ai_job IN EXCLUSIVE MODE`;
    held.resolve();
    await gone.promise;
  });
  await held.promise;
  const { socket } = await connect(port);
  const headers: [string, string][] = [["X-Worker-Token", TOKEN]];
  socket.write(requestBytes({ method: "GET", target: "/api/v1/internal/ai/job/next/", headers, keepAlive: true }));
  await until("the claim waits", async () => {
    const [row] = await db.reserved`SELECT count(*)::int AS waiting FROM pg_locks WHERE NOT granted`;
    return row?.["waiting"] > 0;
  });
  socket.resetAndDestroy();
  await exchange(port, requestBytes({ method: "OPTIONS", target: "/api/v1/internal/ai/job/next/" }));
  gone.resolve();
  await blocker;
  await until("the job was handed out and came back", async () => {
    const row = await rowOf(db, id);
    return row["status"] === "PENDING" && Number(row["deliveries"]) === 1;
  });
  expect(await rowOf(db, id)).toMatchObject({ status: "PENDING", attempt_count: 0, locked_by: null });
  await expectNoDrift(db);
});

test("a legacy DONE ends the lease of a gRPC worker", async ({ db }) => {
  const { report, moves } = await given(db);
  const id = await givenJob(db);
  const held = await givenLease(db, "grpc-worker");
  expect(await report("old-worker", { job_id: id, result: { first: true } })).toBe("done");
  const item = { jobId: id, token: held.token, status: "DONE", result: "{}", error: "" } as const;
  const [late] = await moves.report("grpc-worker", [{ ...item, retryable: true, retryDelayMs: null }]);
  expect(late?.status).toBe("LEASE_LOST");
});

test("a report on a job to be cancelled ends it, and is answered as a duplicate", async ({ db }) => {
  const { poll, report } = await given(db);
  const id = await givenJob(db);
  await poll("w1");
  await cancel(db.sql, [id], "no longer wanted", 30_000);
  expect(await report("w1", { job_id: id, result: { late: true } })).toBe("duplicate_ignored");
  expect(await statusOf(db, id)).toBe("CANCELLED");
  expect(await resultsOf(db, id)).toEqual([]);
});

test("what cannot be stored changes nothing", async ({ db }) => {
  const { poll, report } = await given(db);
  const id = await givenJob(db);
  await poll("w1");
  const before = await rowOf(db, id);
  expect(await report("w1", { job_id: id, result: { a: "\0" } })).toMatch(/^result holds the character U\+0000/);
  expect(await report("w1", { job_id: id, status: "FAILED", error: "\0" })).toMatch(/^error holds the character/);
  expect(await report("w1", { job_id: `${id}\0` })).toMatch(/^job_id holds the character/);
  expect(await rowOf(db, id)).toEqual(before);
  expect(await resultsOf(db, id)).toEqual([]);
  await reclaim(db.sql, 10);
  expect(await statusOf(db, id)).toBe("RUNNING");
});
