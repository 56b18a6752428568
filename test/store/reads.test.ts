/** Reads at their edges: filters that ask for nothing, tables with nothing in them, values of another shape. */
import { expect, onTestFinished } from "vitest";
import { openPool } from "../../src/store/db.ts";
import { sweep } from "../../src/store/drift.ts";
import { openIntent } from "../../src/store/ec2.ts";
import { memoriesOf, openIntents } from "../../src/store/ec2-view.ts";
import { ping } from "../../src/store/ping.ts";
import { redeliverSince } from "../../src/store/redeliver.ts";
import { snapshotOf } from "../../src/store/snapshot.ts";
import { watchState } from "../../src/store/watch-state.ts";
import { endpointFailed } from "../../src/store/webhooks.ts";
import { emptyDatabase } from "../support/bare-database.ts";
import { test } from "../support/db.ts";
import { givenJob, givenLease } from "../support/jobs.ts";
import { givenWebhook } from "../support/webhooks.ts";
import { givenRows } from "./given-rows.ts";

test("a watch of a tenant shows its jobs of every type that wait or run, and no ended ones", async ({ db }) => {
  await givenRows(db, [
    { job_id: "waits", tenant_id: "t" },
    { job_id: "runs", tenant_id: "t", job_type: "embedding", status: "RUNNING", locked_by: "w" },
    { job_id: "ended", tenant_id: "t", status: "DONE" },
    { job_id: "another's", tenant_id: "u" },
  ]);
  const { jobs } = await watchState(db, { tenantId: "t" }, 10);
  expect(jobs.map(({ jobId, status, workerId }) => [jobId, status, workerId])).toEqual([
    ["waits", "PENDING", null],
    ["runs", "RUNNING", "w"],
  ]);
});

test("a snapshot is read from what Postgres writes, and from nothing else", async ({ db }) => {
  const [row] = await db.sql<{ text: string }[]>`SELECT pg_current_snapshot()::text AS text`;
  expect(snapshotOf(row?.text ?? "")).toMatchObject({ text: row?.text });
  for (const text of ["", "1:2", "1:2:3,", "1:2:x", "1:2:3:4", " 1:2:"]) expect(snapshotOf(text), text).toBeNull();
});

test("events that are not there any more are redelivered to nobody", async ({ db }) => {
  const hook = await givenWebhook(db);
  expect(await redeliverSince(db.sql, hook, new Date(0))).toBe(0);
  expect(await redeliverSince(db.sql, hook, new Date("2999-01-01"))).toBe(0);
});

test("an endpoint that fails after its webhook was removed leaves nothing behind", async ({ db }) => {
  const webhookId = "00000000-0000-4000-8000-000000000000";
  const asked: number[] = [];
  const pauseMs = (failures: number) => {
    asked.push(failures);
    return 1_000;
  };
  expect(await endpointFailed(db.sql, { webhookId, status: 500, error: "no", pauseMs })).toBe(0);
  expect(asked).toEqual([0]);
  expect(await db.sql`SELECT FROM ai_webhook`).toHaveLength(0);
});

test("an intent for an instance that was never launched before tells no time of it", async ({ db }) => {
  const opening = { instanceId: "i-1", source: "operator", reason: "", brokerId: "b", knownWorkers: [] } as const;
  await openIntent(db.sql, { ...opening, knownWorkers: [], launchedBefore: null });
  expect((await openIntents(db)).open).toMatchObject([{ instanceId: "i-1", launchedBefore: null, startedAgoMs: null }]);
});

test("without instances there are no memories", async ({ db }) => {
  expect((await memoriesOf(db, [])).instances).toEqual([]);
});

test("a list may be given as Postgres writes it, and means the same", async ({ db }) => {
  const list = ["a", 'b"\\', "", "NULL", "c,d"];
  const literal = '{a,"b\\"\\\\","","NULL","c,d"}';
  const [row] = await db.sql`SELECT to_json(${list}::text[]) AS list, to_json(${literal}::text[]) AS literal`;
  expect(row).toEqual({ list, literal: list });
});

test("a sweep that is told nothing begins at the beginning and finds what is amiss there", async ({ db }) => {
  await givenJob(db, { id: "lost" });
  await givenJob(db, { id: "held" });
  await givenLease(db);
  await db.sql.begin((tx) => tx.unsafe("SET LOCAL session_replication_role = replica; DELETE FROM ai_ready"));
  const swept = await sweep(db.sql);
  expect(swept).toMatchObject({ repaired: 1, skipped: 0, next: { part: "leases" } });
  expect(await db.sql`SELECT FROM ai_ready`).toHaveLength(1);
});

test("a standby answers no ping: it takes no writes", async () => {
  const { url, sql } = await emptyDatabase();
  await ping(sql);
  // The database's own function comes before Postgres's.
  await sql`CREATE FUNCTION public.pg_is_in_recovery() RETURNS bool LANGUAGE sql AS 'SELECT true'`;
  await sql.unsafe(`ALTER DATABASE "${new URL(url).pathname.slice(1)}" SET search_path = public, pg_catalog`);
  const pool = openPool({ url, statementTimeoutMs: 10_000, lockTimeoutMs: 10_000 }, 1);
  onTestFinished(() => pool.end());
  await expect(ping(pool)).rejects.toThrow(/is a standby that takes no writes; point DATABASE_URL at the primary/);
});
