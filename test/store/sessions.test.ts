import { describe, expect } from "vitest";
import type { Sql } from "../../src/store/db.ts";
import { brokerSeen, endSessions, openSessions, resizeSessions } from "../../src/store/sessions.ts";
import { openTestDatabase, test } from "../support/db.ts";
import { opening } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { age, open, sessionOf, staleOf } from "./given-sessions.ts";

describe("a stream that opens", () => {
  test("is written down as its Hello describes it", async ({ db }) => {
    const types = ['a "b", {c}', "d\\e", "한"];
    const hello = opening("i1", { workerId: 'w "{1}', types, maxInFlight: 7, client: "test/1" });
    expect(await openSessions(db.sql, "b1", [hello])).toEqual([
      { instanceId: "i1", epoch: 1, supersedes: 0, other: null },
    ]);
    expect(await sessionOf(db, "i1")).toMatchObject({
      session_id: hello.sessionId,
      epoch: "1",
      worker_id: 'w "{1}',
      broker_id: "b1",
      names: types.join(","),
      max_in_flight: 7,
      client: "test/1",
      supersedes: 0,
      superseded_at: null,
      connected_at: expect.any(Date),
      ended_at: null,
    });
  });

  test("of an instance that was here before begins anew, with the next epoch", async ({ db }) => {
    const first = opening("i1", { types: ["ocr"], maxInFlight: 7, client: "old" });
    await openSessions(db.sql, "b1", [first]);
    await endSessions(db.sql, [first]);
    await age(db, 60);
    const second = opening("i1", { workerId: "w2" });
    expect(await openSessions(db.sql, "b2", [second])).toMatchObject([{ epoch: 2, other: null }]);
    const row = await sessionOf(db, "i1");
    expect(row).toMatchObject({ session_id: second.sessionId, worker_id: "w2", broker_id: "b2", names: "" });
    expect(row).toMatchObject({ max_in_flight: 1, client: "", ended_at: null });
    expect((row["connected_at"] as Date).getTime()).toBeGreaterThan(Date.now() - 30_000);
  });

  test("is answered in the order of the call, known instances and new ones", async ({ db }) => {
    await brokerSeen(db.sql, "b1");
    for (const instanceId of ["i2", "i4"]) await open(db, instanceId);
    const hellos = ["i9", "i2", "i1", "i4", "i3"].map((instanceId) => opening(instanceId));
    const opened = await openSessions(db.sql, "b2", hellos);
    expect(opened.map((o) => [o.instanceId, o.epoch, o.other])).toEqual([
      ["i9", 1, null],
      ["i2", 2, "b1"],
      ["i1", 1, null],
      ["i4", 2, "b1"],
      ["i3", 1, null],
    ]);
    expect(await openSessions(db.sql, "b2", [])).toEqual([]);
  });
});

describe("the one that it replaces", () => {
  test("is named by its broker if it was live, also when that is the same one", async ({ db }) => {
    await brokerSeen(db.sql, "b1");
    await open(db, "i1", "b1");
    expect(await open(db, "i1", "b1")).toMatchObject({ other: "b1", supersedes: 1 });
    expect(await open(db, "i1", "b2")).toMatchObject({ other: "b1", supersedes: 2 });
  });

  test("was not live if it had ended, or its broker was not seen for 15 s, or not at all", async ({ db }) => {
    await brokerSeen(db.sql, "b1");
    const ended = opening("i1");
    await openSessions(db.sql, "b1", [ended]);
    await endSessions(db.sql, [ended]);
    expect(await open(db, "i1", "b1")).toEqual({ instanceId: "i1", epoch: 2, other: null, supersedes: 0 });
    await age(db, 16);
    expect(await open(db, "i1", "b3")).toMatchObject({ epoch: 3, other: null, supersedes: 0 });
    expect(await open(db, "i1", "b1")).toMatchObject({ epoch: 4, other: null, supersedes: 0 });
    await brokerSeen(db.sql, "b1");
    await age(db, 14);
    expect(await open(db, "i1", "b2")).toMatchObject({ epoch: 5, other: "b1", supersedes: 1 });
  });

  test("is not itself: a statement that is sent again after a lost answer supersedes nothing", async ({ db }) => {
    await brokerSeen(db.sql, "b1");
    await open(db, "i1", "b1", "s1");
    expect(await open(db, "i1", "b1", "s1")).toMatchObject({ other: null, supersedes: 0 });
    expect(await staleOf(db, [{ instanceId: "i1", sessionId: "s1" }])).toEqual([]);
  });
});

describe("how often a live session was replaced", () => {
  test("counts what happens in quick succession, and fades within 5 minutes", async ({ db }) => {
    await brokerSeen(db.sql, "b1");
    await open(db, "i1");
    for (let n = 1; n <= 10; n++) expect(await open(db, "i1")).toMatchObject({ supersedes: n });
    await age(db, 150);
    // Nothing live is replaced now, but half of it still counts.
    expect(await open(db, "i1")).toMatchObject({ other: null, supersedes: 5 });
    await age(db, 151);
    expect(await open(db, "i1")).toMatchObject({ other: null, supersedes: 0 });
    await brokerSeen(db.sql, "b1");
    expect(await open(db, "i1")).toMatchObject({ other: "b1", supersedes: 1 });
  });

  test("stays low for an instance that comes back every few minutes before it was missed", async ({ db }) => {
    await open(db, "i1");
    const counts: number[] = [];
    for (let n = 0; n < 20; n++) {
      await age(db, 240);
      await brokerSeen(db.sql, "b1");
      counts.push((await open(db, "i1")).supersedes);
    }
    expect(Math.max(...counts)).toBe(2);
  });
});

describe("of streams that race", () => {
  test("on one instance, known or new, each gets an epoch of its own and one is current", async ({ db, url }) => {
    const other = openTestDatabase(url);
    try {
      for (const instanceId of ["new", "new"]) {
        const hellos = Array.from({ length: 12 }, () => opening(instanceId));
        const opened = await Promise.all(
          hellos.map(async (hello, n) => (await openSessions((n % 2 ? db : other).sql, "b1", [hello]))[0]?.epoch),
        );
        const epochs = opened.map(Number).sort((a, b) => a - b);
        const first = epochs[0] as number;
        expect(epochs).toEqual(epochs.map((_, n) => first + n));
        const newest = hellos[opened.indexOf(first + 11)];
        expect(await sessionOf(db, instanceId)).toMatchObject({
          session_id: newest?.sessionId,
          epoch: String(first + 11),
        });
        const stale = await staleOf(db, hellos);
        expect(stale.sort()).toEqual(
          hellos
            .filter((h) => h !== newest)
            .map((h) => h.sessionId)
            .sort(),
        );
      }
    } finally {
      await other.close();
    }
  });

  test("the later one names the other, although it did not see its row when it began", async ({ db }) => {
    await brokerSeen(db.sql, "b1");
    const commit = Promise.withResolvers<void>();
    const made = Promise.withResolvers<void>();
    const first = db.sql.begin(async (tx) => {
      await openSessions(tx as unknown as Sql, "b1", [opening("i1")]);
      made.resolve();
      await commit.promise;
    });
    await made.promise;
    const second = open(db, "i1", "b2");
    await until("the second waits for the first", async () => {
      const [row] = await db.reserved`SELECT count(*)::int AS n FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      return row?.["n"] === 1;
    });
    commit.resolve();
    await first;
    expect(await second).toEqual({ instanceId: "i1", epoch: 2, other: "b1", supersedes: 1 });
  });

  test("two brokers that open the same instances at once do not deadlock", async ({ db, url }) => {
    const other = openTestDatabase(url);
    const ids = Array.from({ length: 100 }, (_, n) => `i${n}`);
    try {
      await openSessions(
        db.sql,
        "b1",
        ids.map((id) => opening(id)),
      );
      await Promise.all(
        Array.from({ length: 10 }, async (_, n) => {
          const hellos = (n % 2 ? ids : ids.toReversed()).map((id) => opening(id));
          const { sql } = n % 2 ? db : other;
          await openSessions(sql, "b1", hellos);
          await resizeSessions(sql, hellos);
          await endSessions(sql, hellos);
        }),
      );
    } finally {
      await other.close();
    }
    const [row] = await db.sql`SELECT min(epoch)::int AS low, max(epoch)::int AS high FROM ai_session`;
    expect(row).toEqual({ low: 11, high: 11 });
  });
});
