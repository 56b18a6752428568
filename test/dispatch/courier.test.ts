import { expect, onTestFinished } from "vitest";
import { type Courier, type CourierOptions, createCourier } from "../../src/dispatch/courier.ts";
import type { Database, Sql } from "../../src/store/db.ts";
import { notify } from "../../src/store/notify.ts";
import { openTestDatabase, test } from "../support/db.ts";
import { until } from "../support/until.ts";

/** One broker's courier, what it heard, and each letter that it sent. */
async function broker(brokerId: string, url: string) {
  const db = openTestDatabase(url);
  const heard: string[] = [];
  const errors: unknown[] = [];
  const connected = Promise.withResolvers<void>();
  const options: CourierOptions = {
    sql: db.sql,
    direct: db.direct,
    brokerId,
    onSuperseded: ({ instanceId, epoch, times }) => void heard.push(`superseded ${instanceId} ${epoch} ${times}`),
    onLeft: (from, instanceId) => void heard.push(`${from} left ${instanceId}`),
    onTouched: (instanceIds) => void heard.push(...instanceIds.map((id) => `touched ${id}`)),
    onConnected: () => connected.resolve(),
    onError: (err) => void errors.push(err),
  };
  const courier = createCourier(options);
  onTestFinished(async () => {
    await courier.stop();
    await db.close();
  });
  await connected.promise;
  return { courier, heard, errors, db };
}

/** Two brokers, and everything that goes over the channel, as text. */
async function two(url: string) {
  const one = await broker("one", url);
  const other = await broker("other", url);
  const letters: string[] = [];
  const db = openTestDatabase(url);
  const { unlisten } = await db.sql.listen("ai_session", (text) => void letters.push(text));
  onTestFinished(async () => {
    await unlisten();
    await db.close();
  });
  return { one, other, letters };
}

/** Ends when all that was sent before has been heard: messages come in the order of their commits. */
async function flushed({ one, other }: { one: { courier: Courier }; other: { heard: string[] } }): Promise<void> {
  one.courier.touched("last");
  await until("the last one is heard", () => other.heard.includes("touched last"));
}

test("what one broker says the other one hears, and not itself", async ({ url }) => {
  const { one, other } = await two(url);
  one.courier.superseded({ instanceId: "a", epoch: 7, times: 3 });
  one.courier.left("b");
  one.courier.touched("c");
  await flushed({ one, other });
  expect(other.heard.toSorted()).toEqual(["one left b", "superseded a 7 3", "touched c", "touched last"]);
  expect([one.heard, one.errors, other.errors]).toEqual([[], [], []]);
});

test("a storm of news goes in few letters, each small enough for Postgres, and each piece of news once", async ({
  url,
}) => {
  const { one, other, letters } = await two(url);
  // The longest ids there may be, of what JSON writes with most characters.
  const id = (n: number) => `${n}`.padEnd(64, '"');
  const since = performance.now();
  for (let n = 0; n < 60; n++) {
    one.courier.superseded({ instanceId: id(n), epoch: Number.MAX_SAFE_INTEGER - n, times: 1_000_000 });
    one.courier.left(id(n));
    one.courier.touched(id(n));
    one.courier.touched(id(n));
  }
  await flushed({ one, other });
  // The kinds do not fill a letter alike, so the last one of a kind may come before those of another.
  await until("all is heard", () => other.heard.length >= 181);
  const tookMs = performance.now() - since;
  expect(other.heard.filter((one) => one !== "touched last")).toHaveLength(180);
  expect(new Set(other.heard).size).toBe(other.heard.length);
  expect(Math.max(...letters.map((text) => Buffer.byteLength(text)))).toBeLessThan(8_000);
  // One at once, then at most one in 20 ms, whatever the clock of this machine makes of it.
  expect(letters.length).toBeLessThanOrEqual(2 + tookMs / 15);
  expect(letters.length).toBeLessThan(12);
  expect([one.errors, other.errors]).toEqual([[], []]);
});

test("of an instance that was replaced twice in one gap the newest epoch is told", async ({ url }) => {
  const { one, other } = await two(url);
  one.courier.superseded({ instanceId: "first", epoch: 1, times: 0 });
  for (const epoch of [4, 6, 5]) one.courier.superseded({ instanceId: "a", epoch, times: epoch });
  await flushed({ one, other });
  expect(other.heard.filter((one) => one.startsWith("superseded a"))).toEqual(["superseded a 6 6"]);
});

test("news of one turn goes together", async ({ url }) => {
  const { one, other, letters } = await two(url);
  for (const id of ["a", "b", "c"]) one.courier.touched(id);
  await until("all are heard", () => other.heard.length === 3);
  expect(letters).toHaveLength(1);
});

test("a message that is no letter is an error that is told, and the next letter is read", async ({ url, db }) => {
  const { one, other } = await two(url);
  const garbage = [
    "",
    "hello",
    "{",
    "null",
    "[]",
    '{"from":"x"}',
    letter({ superseded: [["a", 1]] }),
    letter({ touched: [1] }),
  ];
  for (const text of garbage) await notify((db as Database).sql as Sql, "ai_session", text);
  await flushed({ one, other });
  expect(other.heard).toEqual(["touched last"]);
  expect(other.errors).toHaveLength(garbage.length);
});

test("a letter with more in it than this broker knows is read all the same: brokers are not all of one version", async ({
  url,
  db,
}) => {
  const { one, other } = await two(url);
  await notify(db.sql, "ai_session", letter({ touched: ["a"], later: ["x"] }));
  await flushed({ one, other });
  expect(other.heard).toEqual(["touched a", "touched last"]);
});

test("after the stop nothing is said and nothing is heard", async ({ url }) => {
  const { one, other, letters } = await two(url);
  await other.courier.stop();
  other.courier.touched("x");
  other.courier.superseded({ instanceId: "x", epoch: 1, times: 1 });
  one.courier.touched("a");
  await until("the letter is out", () => letters.length === 1);
  expect([other.heard, letters[0]?.includes("x")]).toEqual([[], false]);
});

test("a line that was cut comes back, and says that news may have been missed", async ({ url, db }) => {
  let connections = 0;
  const pool = openTestDatabase(url);
  const courier = createCourier({
    sql: pool.sql,
    direct: pool.direct,
    brokerId: "one",
    onSuperseded: () => undefined,
    onLeft: () => undefined,
    onTouched: () => undefined,
    onConnected: () => void connections++,
    onError: () => undefined,
  });
  onTestFinished(async () => {
    await courier.stop();
    await pool.close();
  });
  await until("it listens", () => connections === 1);
  await db.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND query ILIKE '%listen%ai_session%' AND pid <> pg_backend_pid()`;
  await until("it listens again", () => connections === 2);
});

function letter(more: object): string {
  return JSON.stringify({ from: "third", superseded: [], left: [], touched: [], ...more });
}
