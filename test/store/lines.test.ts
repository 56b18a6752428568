import net from "node:net";
import { expect, onTestFinished } from "vitest";
import type { BrokerError } from "../../src/errors.ts";
import { addressOf } from "../../src/store/address.ts";
import { asBrokerError } from "../../src/store/database-errors.ts";
import { type Database, openLinesPool, type Sql } from "../../src/store/db.ts";
import { test as base } from "../support/db.ts";
import { until } from "../support/until.ts";

/** A way to the test's Postgres whose connections can be reset, and which can be closed. */
interface Way {
  url: string;
  /** Connections so far, and those that are open. */
  made: number;
  open: number;
  reset(): void;
  close(): Promise<void>;
  reopen(): Promise<void>;
}

const test = base.extend<{ way: Way }>({
  way: async ({ url }, use) => {
    const { url: plain, host } = addressOf(url);
    const target = new URL(plain);
    const port = Number(target.port || 5432);
    const open = new Set<net.Socket>();
    const way: Way = {
      url: "",
      made: 0,
      open: 0,
      reset: () => undefined,
      close: async () => undefined,
      reopen: async () => undefined,
    };
    const server = net.createServer((near) => {
      way.made += 1;
      const far = host === undefined ? net.connect(port, target.hostname) : net.connect(`${host}/.s.PGSQL.${port}`);
      way.open += 1;
      open.add(near);
      near.on("close", () => {
        way.open -= 1;
      });
      near.on("error", () => undefined).on("close", () => far.destroy());
      far.on("error", () => undefined).on("close", () => near.destroy());
      near.pipe(far).pipe(near);
    });
    const listen = (at: number) => new Promise<void>((resolve) => server.listen(at, "127.0.0.1", resolve));
    await listen(0);
    const own = (server.address() as net.AddressInfo).port;
    target.hostname = "127.0.0.1";
    target.port = String(own);
    way.url = target.href;
    way.reset = () => {
      for (const near of open) near.resetAndDestroy();
      open.clear();
    };
    way.close = async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      way.reset();
      await closed;
    };
    way.reopen = () => listen(own);
    await use(way);
    way.reset();
    server.close();
  },
});

const LIMITS = { statementTimeoutMs: 10_000, lockTimeoutMs: 5_000 };

function given(pool: Sql): Sql {
  onTestFinished(() => pool.end({ timeout: 0 }));
  return pool;
}

/** So long that the driver writes it at once. */
const PADDING = "x".repeat(2_000);
const say = async (sql: Sql, text: string) =>
  (await sql`SELECT ${text}::text AS text, ${PADDING}::text AS padding`)[0]?.["text"] as string;

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
