import { describe, expect } from "vitest";
import type { Sql } from "../../src/store/db.ts";
import {
  brokerSeen,
  endSessions,
  forgetBroker,
  forgetSessions,
  openSessions,
  resizeSessions,
  staleSessions,
} from "../../src/store/sessions.ts";
import { test } from "../support/db.ts";
import { opening } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { age, sessionOf, staleOf } from "./given-sessions.ts";

describe("a stream that ends or takes another number of jobs", () => {
  test("says so in its row, once", async ({ db }) => {
    const one = opening("i1");
    const two = opening("i2");
    await openSessions(db.sql, "b1", [one, two]);
    await resizeSessions(db.sql, [
      { ...two, maxInFlight: 20 },
      { ...one, maxInFlight: 9 },
      { ...one, maxInFlight: 10 },
    ]);
    expect(await sessionOf(db, "i1")).toMatchObject({ max_in_flight: 10, ended_at: null });
    expect(await sessionOf(db, "i2")).toMatchObject({ max_in_flight: 20, ended_at: null });
    await endSessions(db.sql, [one]);
    const ended = (await sessionOf(db, "i1"))["ended_at"];
    expect(ended).toEqual(expect.any(Date));
    await endSessions(db.sql, [one]);
    await resizeSessions(db.sql, [{ ...one, maxInFlight: 11 }]);
    expect(await sessionOf(db, "i1")).toMatchObject({ max_in_flight: 10, ended_at: ended });
    expect(await sessionOf(db, "i2")).toMatchObject({ ended_at: null });
    await endSessions(db.sql, []);
    await resizeSessions(db.sql, []);
  });

  test("changes nothing when a newer one has taken its place", async ({ db }) => {
    const old = opening("i1");
    const current = opening("i1", { maxInFlight: 3 });
    await openSessions(db.sql, "b1", [old]);
    await openSessions(db.sql, "b1", [current]);
    await endSessions(db.sql, [old]);
    await resizeSessions(db.sql, [{ ...old, maxInFlight: 99 }]);
    expect(await sessionOf(db, "i1")).toMatchObject({
      session_id: current.sessionId,
      max_in_flight: 3,
      ended_at: null,
    });
  });

  test("changes nothing either when the newer one was under way as it ended", async ({ db }) => {
    const old = opening("i1");
    const current = opening("i1");
    await openSessions(db.sql, "b1", [old]);
    const commit = Promise.withResolvers<void>();
    const made = Promise.withResolvers<void>();
    const newer = db.sql.begin(async (tx) => {
      await openSessions(tx as unknown as Sql, "b2", [current]);
      made.resolve();
      await commit.promise;
    });
    await made.promise;
    const ending = endSessions(db.sql, [old]);
    await until("the end waits", async () => {
      const [row] = await db.reserved`SELECT count(*)::int AS n FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      return row?.["n"] === 1;
    });
    commit.resolve();
    await newer;
    await ending;
    expect(await sessionOf(db, "i1")).toMatchObject({ session_id: current.sessionId, ended_at: null });
  });
});

test("stale are the streams that were superseded, ended or forgotten, in the order of the question", async ({ db }) => {
  const old = opening("i1");
  const current = opening("i1");
  const ended = opening("i2");
  const open = opening("i3");
  for (const hello of [old, current, ended, open]) await openSessions(db.sql, "b1", [hello]);
  await endSessions(db.sql, [ended]);
  const unknown = { instanceId: "i4", sessionId: "s4" };
  expect(await staleOf(db, [unknown, current, ended, old, open])).toEqual(["s4", ended.sessionId, old.sessionId]);
  expect(await staleOf(db, [])).toEqual([]);
});

test("a stale stream is told how often its instance was replaced lately", async ({ db }) => {
  await brokerSeen(db.sql, "b1");
  const hellos = [opening("i1"), opening("i1"), opening("i1")];
  for (const hello of hellos) await openSessions(db.sql, "b1", [hello]);
  expect(await staleSessions(db.sql, hellos)).toEqual(
    hellos.slice(0, 2).map(({ sessionId }) => ({ sessionId, supersedes: 2 })),
  );
});

test("a broker that leaves takes its streams along, and no others", async ({ db }) => {
  const [mine, ended, others] = [opening("i1"), opening("i2"), opening("i3")];
  await brokerSeen(db.sql, "b1");
  await brokerSeen(db.sql, "b2");
  await openSessions(db.sql, "b1", [mine, ended]);
  await openSessions(db.sql, "b2", [others]);
  await endSessions(db.sql, [ended]);
  const endedAt = (await sessionOf(db, "i2"))["ended_at"];
  await forgetBroker(db.sql, "b1");
  expect(await staleOf(db, [mine, ended, others])).toEqual([mine.sessionId, ended.sessionId]);
  expect((await sessionOf(db, "i2"))["ended_at"]).toEqual(endedAt);
  expect(await db.sql`SELECT broker_id FROM ai_broker`).toEqual([{ broker_id: "b2" }]);
  await forgetBroker(db.sql, "b1");
});

test("a broker is seen anew, and keeps the time when it began", async ({ db }) => {
  await brokerSeen(db.sql, "b1");
  await db.sql`UPDATE ai_broker SET started_at = '2026-01-01Z', seen_at = '2026-01-01Z'`;
  await brokerSeen(db.sql, "b1");
  const [row] = await db.sql`SELECT started_at, seen_at > '2026-01-02Z' AS anew FROM ai_broker`;
  expect(row).toEqual({ started_at: new Date("2026-01-01T00:00:00Z"), anew: true });
});

test("sessions and brokers are forgotten a day after they were over", async ({ db }) => {
  const ended = opening("ended");
  await openSessions(db.sql, "b1", [ended, opening("dead"), opening("live")]);
  await endSessions(db.sql, [ended]);
  await brokerSeen(db.sql, "b1");
  await brokerSeen(db.sql, "gone");
  const instances = async () => {
    await forgetSessions(db.sql);
    const rows = await db.sql`SELECT instance_id FROM ai_session UNION ALL SELECT broker_id FROM ai_broker ORDER BY 1`;
    return rows.map((row) => row["instance_id"]);
  };
  await age(db, 86_000);
  expect(await instances()).toEqual(["b1", "dead", "ended", "gone", "live"]);
  await age(db, 1_000);
  await brokerSeen(db.sql, "b1");
  await db.sql`UPDATE ai_session SET broker_id = 'gone' WHERE instance_id = 'dead'`;
  expect(await instances()).toEqual(["b1", "live"]);
});

test("at most a thousand sessions are forgotten at once", async ({ db }) => {
  await db.sql`INSERT INTO ai_session (instance_id, session_id, epoch, worker_id, broker_id, types, max_in_flight, ended_at)
    SELECT 'i' || n, 's', 1, 'w', 'b', '{}', 1, now() - interval '2 days' FROM generate_series(1, 1500) n`;
  await forgetSessions(db.sql);
  expect(await db.sql`SELECT count(*)::int AS n FROM ai_session`).toEqual([{ n: 500 }]);
});
