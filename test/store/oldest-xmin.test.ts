import { expect } from "vitest";
import { withDatabase } from "../../src/store/address.ts";
import { openPool } from "../../src/store/db.ts";
import { oldestXminSeconds } from "../../src/store/oldest-xmin.ts";
import { test } from "../support/db.ts";

test("an open transaction with a snapshot is the oldest until it ends", async ({ db }) => {
  await db.sql.begin("ISOLATION LEVEL REPEATABLE READ", async (holder) => {
    await holder`SELECT count(*) FROM ai_ready`;
    const seconds = await oldestXminSeconds(db);
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThan(60);
    expect(await oldestXminSeconds(db)).toBeGreaterThan(seconds);
  });
  expect(await oldestXminSeconds(db)).toBe(0);
});

test("sessions of another database do not count", async ({ db, url }) => {
  const limits = { statementTimeoutMs: 10_000, lockTimeoutMs: 10_000 };
  const elsewhere = openPool({ url: withDatabase(url, "postgres"), ...limits }, 1);
  await elsewhere.begin("ISOLATION LEVEL REPEATABLE READ", async (holder) => {
    await holder`SELECT count(*) FROM pg_class`;
    expect(await oldestXminSeconds(db)).toBe(0);
  });
  await elsewhere.end();
});
