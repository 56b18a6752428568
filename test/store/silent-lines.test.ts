/** A Postgres that is gone and nobody says so, or that hangs: what becomes of a pool's connections. */
import { expect } from "vitest";
import type { BrokerError } from "../../src/errors.ts";
import { asBrokerError } from "../../src/store/database-errors.ts";
import { openLinesPool, openPool } from "../../src/store/db.ts";
import { TICK_MS } from "../../src/store/silence.ts";
import { tlsWayTo } from "../support/tls-way.ts";
import { until } from "../support/until.ts";
import { given, LIMITS, say, test } from "../support/way.ts";

const SILENT_TICKS = (LIMITS.statementTimeoutMs + 2_000) / TICK_MS;

/** What pools look at each second. */
const looks = new Set<() => void>();
const everyTick = (look: () => void) => {
  looks.add(look);
  return () => void looks.delete(look);
};
const TICKING = { ...LIMITS, everyTick };

/** Between two of these all that has arrived is heard. */
async function ticks(count: number): Promise<void> {
  for (let tick = 0; tick < count; tick++) {
    await new Promise(setImmediate);
    for (const look of looks) look();
  }
}

/** Holds the lock on this number, outside the pools of the test, until it is released. */
async function givenLock(url: string, key: number): Promise<() => Promise<void>> {
  const holder = given(openPool({ url, ...LIMITS }, 1));
  await holder`SELECT pg_advisory_lock(${key})`;
  return async () => void (await holder`SELECT pg_advisory_unlock(${key})`);
}

const WAYS: [string, (url: string) => Promise<string> | string][] = [
  ["plain", (url) => url],
  ["over TLS", tlsWayTo],
];

test.for(WAYS)(
  "a Postgres that is gone without a word is found out by its silence, for all connections at once, %s",
  async ([, toUrl], { way }) => {
    const sql = given(openLinesPool({ url: await toUrl(way.url), ...TICKING }, 3, {}));
    await Promise.all(["a", "b", "c"].map((text) => say(sql, text)));
    expect(way.made).toBe(3);
    await ticks(1);
    way.mute();
    const lost = say(sql, "lost").catch((err: unknown) => asBrokerError(err) as BrokerError);
    let answer: unknown;
    void lost.then((reason) => {
      answer = reason;
    });
    await ticks(SILENT_TICKS);
    expect(answer).toBeUndefined();
    await ticks(1);
    expect(await lost).toMatchObject({ reason: "DATABASE_DOWN" });
    // The two others were as dead, and nobody waits for their silence.
    expect(await Promise.all(["d", "e", "f"].map((text) => say(sql, text)))).toEqual(["d", "e", "f"]);
    // One more has tried to write.
    expect(way.made).toBe(7);
  },
);

test("connections that nobody uses are given up before the one that is dead, so that few callers are lost", async ({
  way,
}) => {
  const sql = given(openLinesPool({ url: way.url, ...TICKING }, 3, {}));
  await Promise.all(["a", "b", "c"].map((text) => say(sql, text)));
  await ticks(1);
  way.mute();
  const lost = say(sql, "lost").catch((err: unknown) => asBrokerError(err) as BrokerError);
  await ticks(3);
  expect(await Promise.all(["d", "e"].map((text) => say(sql, text)))).toEqual(["d", "e"]);
  // All three are taken: the one that is silent gets no more of them.
  expect(await Promise.all(["f", "g", "h", "i"].map((text) => say(sql, text)))).toEqual(["f", "g", "h", "i"]);
  expect(way.made).toBe(5);
  await ticks(SILENT_TICKS);
  expect(await lost).toMatchObject({ reason: "DATABASE_DOWN" });
});

test("a connection that was heard meanwhile is kept when another one is dead", async ({ way }) => {
  const sql = given(openLinesPool({ url: way.url, ...TICKING }, 2, {}));
  expect(await say(sql, "first")).toBe("first");
  await ticks(1);
  way.mute();
  const lost = say(sql, "lost").catch((err: unknown) => asBrokerError(err) as BrokerError);
  await ticks(SILENT_TICKS - 1);
  expect(await say(sql, "second")).toBe("second");
  await ticks(2);
  expect(await lost).toMatchObject({ reason: "DATABASE_DOWN" });
  expect(await say(sql, "third")).toBe("third");
  // The one that is kept, the dead one, and one that has tried to write.
  expect(way.made).toBe(3);
});

test.for(WAYS)("one that answers as late as it may is not taken for dead, %s", async ([, toUrl], { url, way }) => {
  const sql = given(openLinesPool({ url: await toUrl(way.url), ...TICKING }, 1, {}));
  expect(await say(sql, "before")).toBe("before");
  await ticks(1);
  const release = await givenLock(url, 9);
  const waiting = sql`SELECT pg_advisory_xact_lock_shared(${9}), 'got it' AS said`;
  const said = waiting.then(([row]) => row?.["said"]);
  await ticks(SILENT_TICKS);
  await release();
  expect(await said).toBe("got it");
  // Each of these is answered before the next, and together they take longer than one may.
  for (let at = 0; at < 3; at++) {
    const free = await givenLock(url, 10 + at);
    const next = sql`SELECT pg_advisory_xact_lock_shared(${10 + at})`.then(() => "done");
    await ticks(SILENT_TICKS / 2);
    await free();
    expect(await next).toBe("done");
  }
  expect(way.made).toBe(1);
});

test("a connection that is being made has the time of a connect", async ({ way }) => {
  const release = way.hold();
  const sql = given(openLinesPool({ url: way.url, ...TICKING }, 1, {}));
  const first = say(sql, "first");
  await until("it waits for Postgres' first word", () => way.made === 1);
  await ticks(3 * SILENT_TICKS);
  release();
  expect(await first).toBe("first");
  expect(way.made).toBe(1);
});

test("a transaction on a dead connection ends as well, and somebody is told", async ({ way }) => {
  const told: number[] = [];
  const onSilence = (connections: number) => void told.push(connections);
  const sql = given(openLinesPool({ url: way.url, ...TICKING, onSilence }, 1, {}));
  const begun = Promise.withResolvers<void>();
  const muted = Promise.withResolvers<void>();
  const ended = sql
    .begin(async (tx) => {
      await tx`SELECT 1`;
      begun.resolve();
      await muted.promise;
      await tx`SELECT 2`;
    })
    .catch((err: unknown) => asBrokerError(err));
  await begun.promise;
  await ticks(1);
  way.mute();
  muted.resolve();
  await ticks(SILENT_TICKS + 1);
  expect(await ended).toMatchObject({ reason: "DATABASE_DOWN" });
  expect(told).toEqual([1]);
  expect(await sql.begin(async (tx) => (await tx`SELECT 'again' AS said`)[0])).toEqual({ said: "again" });
});

test("a pool whose statements give themselves longer, or whose URL does, waits as long", async ({ url, way }) => {
  const patient = new URL(way.url);
  patient.searchParams.set("statement_timeout", "60000");
  const endless = new URL(way.url);
  endless.searchParams.set("statement_timeout", "60s");
  const release = await givenLock(url, 50);
  const waiting = [
    openLinesPool({ url: way.url, ...TICKING }, 1, {}, 60_000),
    openLinesPool({ url: patient.href, ...TICKING }, 1, {}),
    openLinesPool({ url: endless.href, ...TICKING }, 1, {}),
  ].map((pool) => given(pool)`SELECT pg_advisory_xact_lock_shared(50), 'got it' AS said`);
  const said = Promise.all(waiting.map(async (one) => (await one)[0]?.["said"]));
  await until("they wait", async () => (await waiters(url, 50)) === 3);
  await ticks(61);
  await release();
  expect(await said).toEqual(["got it", "got it", "got it"]);
});

/** Statements that wait for the lock on this number. */
async function waiters(url: string, key: number): Promise<number> {
  const sql = given(openPool({ url, ...LIMITS }, 1));
  const rows = await sql`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = ${key}
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
  await sql.end();
  return rows.length;
}

test("where new connections fare no better, they are given more time", async ({ way }) => {
  const sql = given(openLinesPool({ url: way.url, ...TICKING }, 1, {}));
  way.hang();
  for (const [round, patience] of [1, 1, 2, 4].entries()) {
    let isOver = false;
    const hung = say(sql, "hung").catch(() => {
      isOver = true;
    });
    // And the one that tries to write.
    await until("Postgres has taken it", () => way.hung === 2 * round + 1);
    await ticks(patience * SILENT_TICKS);
    expect(isOver).toBe(false);
    await ticks(1);
    await hung;
    expect(isOver).toBe(true);
  }
});

test("where new ones can write, silence is found out as soon the next time", async ({ way }) => {
  const sql = given(openLinesPool({ url: way.url, ...TICKING }, 1, {}));
  for (let round = 0; round < 4; round++) {
    expect(await say(sql, "before")).toBe("before");
    await ticks(1);
    way.mute();
    const lost = say(sql, "lost").catch((err: unknown) => asBrokerError(err) as BrokerError);
    await ticks(SILENT_TICKS + 1);
    expect(await lost).toMatchObject({ reason: "DATABASE_DOWN" });
    await until("it was tried to write", () => way.made === 2 * (round + 1) && way.open === 0);
  }
});
