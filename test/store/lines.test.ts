import { expect } from "vitest";
import type { BrokerError } from "../../src/errors.ts";
import { asBrokerError } from "../../src/store/database-errors.ts";
import { type Database, openLinesPool, type Sql } from "../../src/store/db.ts";
import { listen } from "../../src/store/notify.ts";
import { openTestDatabase } from "../support/db.ts";
import { tlsWayTo } from "../support/tls-way.ts";
import { until } from "../support/until.ts";
import { given, LIMITS, say, test, type Way } from "../support/way.ts";

/**
 * Breaks the connection under a statement and begins another between the socket's `error` and its `close`, then two more.
 * What each of them was told. In the driver's own pool the first of them is told nothing, or what another one asked for.
 */
async function toldAfterReset(db: Database, way: Way, sql: Sql): Promise<string[]> {
  const held = Promise.withResolvers<void>();
  const ended = held.promise;
  const holding = Promise.withResolvers<void>();
  const holder = db.drizzle.transaction(async (tx) => {
    await tx.execute("SELECT pg_advisory_xact_lock(7)");
    holding.resolve();
    await ended;
  });
  await holding.promise;
  // Known to the connection, so that it takes more beside it.
  await sql`SELECT pg_advisory_xact_lock_shared(${8})`;
  await say(sql, "known");
  const slow = sql`SELECT pg_advisory_xact_lock_shared(${7})`;
  const between = slow.then(
    () => "got the lock",
    () => say(sql, "between"),
  );
  await until("Postgres is at it", async () => {
    const rows = await db.sql`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`;
    return rows.length > 0;
  });
  way.reset();
  // By then the one between may have a connection of its own.
  await until("the connection is closed", async () => way.made > way.open);
  held.resolve();
  await holder;
  return [await between, await say(sql, "after"), await say(sql, "last")];
}

test("a statement that a broken connection has taken fails, and nobody gets another's answer", async ({ db, way }) => {
  const sql = given(openLinesPool({ url: way.url, ...LIMITS }, 1, {}));
  expect(await toldAfterReset(db, way, sql)).toEqual(["between", "after", "last"]);
  expect(way.made).toBe(2);
});

test("nor over TLS, where the driver takes the socket for itself", async ({ db, way }) => {
  const sql = given(openLinesPool({ url: await tlsWayTo(way.url), ...LIMITS }, 1, {}));
  expect(await toldAfterReset(db, way, sql)).toEqual(["between", "after", "last"]);
  expect(way.made).toBe(2);
});

test("while the database is away each statement is told so, and the first one after it is served", async ({ way }) => {
  const sql = given(openLinesPool({ url: way.url, ...LIMITS }, 2, {}));
  expect(await say(sql, "before")).toBe("before");
  await way.close();
  const reasons = await Promise.all(
    ["a", "b", "c"].map((text) => say(sql, text).catch((err: unknown) => (asBrokerError(err) as BrokerError).reason)),
  );
  expect(reasons).toEqual(["DATABASE_DOWN", "DATABASE_DOWN", "DATABASE_DOWN"]);
  await way.reopen();
  expect(await say(sql, "again")).toBe("again");
});

test("statements that come at the same time share as many connections as there may be", async ({ way }) => {
  const sql = given(openLinesPool({ url: way.url, ...LIMITS }, 2, {}));
  const texts = Array.from({ length: 20 }, (_, at) => `text ${at}`);
  expect(await Promise.all(texts.map((text) => say(sql, text)))).toEqual(texts);
  expect(way.made).toBe(2);
  await sql.end({ timeout: 1 });
  await until("both are closed", async () => way.open === 0);
  await expect(say(sql, "late")).rejects.toMatchObject({ code: "CONNECTION_ENDED" });
});

test("a transaction has a connection of its own, and waits for another's end where there are as many as may be", async ({
  way,
}) => {
  const sql = given(openLinesPool({ url: way.url, ...LIMITS }, 1, {}));
  const order: string[] = [];
  const first = sql.begin(async (tx) => {
    order.push("first");
    expect(await say(sql, "beside")).toBe("beside");
    const [row] =
      await tx`SELECT pg_current_xact_id_if_assigned() IS NULL AS idle, now() = statement_timestamp() AS same`;
    expect(row).toMatchObject({ idle: true });
    order.push("first ends");
  });
  const second = sql.begin(async (tx) => {
    order.push("second");
    await tx`SELECT 1`;
  });
  await Promise.all([first, second]);
  expect(order).toEqual(["first", "first ends", "second"]);
  await expect(sql.begin(() => Promise.reject(new Error("rolled back")))).rejects.toThrow("rolled back");
  expect(await say(sql, "after")).toBe("after");
});

test("a transaction whose connection breaks is told so, whatever it does then, and the next one is served", async ({
  way,
}) => {
  const sql = given(openLinesPool({ url: way.url, ...LIMITS }, 1, {}));
  const told = await sql
    .begin(async (tx) => {
      await tx`SELECT 1`;
      const cut = tx`SELECT 2`.catch((err: unknown) => err);
      way.reset();
      await cut;
      await tx`SELECT 3`;
    })
    .catch((err: unknown) => asBrokerError(err));
  expect(told).toMatchObject({ reason: "DATABASE_DOWN" });
  expect(await sql.begin(async (tx) => (await tx`SELECT 'again' AS said`)[0])).toEqual({ said: "again" });
});

test("a transaction is stored whole or not at all, also where a fault in it was passed over", async ({ url }) => {
  const sql = given(openLinesPool({ url, ...LIMITS }, 1, {}));
  await sql`CREATE TABLE told (what text)`;
  await sql.begin(async (tx) => {
    await tx`INSERT INTO told VALUES ('one')`;
    await tx`INSERT INTO told VALUES ('two')`;
  });
  const own = sql.begin(async (tx) => {
    await tx`INSERT INTO told VALUES ('three')`;
    throw new Error("the caller's own");
  });
  await expect(own).rejects.toThrow("the caller's own");
  const readOnly = sql.begin("READ ONLY", (tx) => tx`INSERT INTO told VALUES ('three')`);
  await expect(readOnly).rejects.toThrow("read-only");
  const passedOver = sql.begin(async (tx) => {
    await tx`INSERT INTO told VALUES ('four')`;
    await tx`SELECT 1 / 0`.catch(() => undefined);
  });
  await expect(passedOver).rejects.toThrow("division by zero");
  expect(await sql`SELECT what FROM told ORDER BY what`).toEqual([{ what: "one" }, { what: "two" }]);
});

/** At whatever moment of its connect: the driver alone leaves about half of them open. */
test.for([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])(
  "a database that is closed %d turns after it began to listen leaves no connection behind",
  async (turns, { way }) => {
    const broker = openTestDatabase(way.url);
    const heard = listen(
      broker.direct,
      "ai_ready",
      () => undefined,
      () => undefined,
    ).catch(() => undefined);
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
    await broker.close();
    await heard;
    await until("its connection is closed", () => way.made === 1 && way.open === 0);
  },
);
