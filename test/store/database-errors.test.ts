import postgres from "postgres";
import { describe, expect } from "vitest";
import { BrokerError, badField } from "../../src/errors.ts";
import { withDatabase } from "../../src/store/address.ts";
import { asBrokerError, mayHaveHappened } from "../../src/store/database-errors.ts";
import { openPool } from "../../src/store/db.ts";
import { test } from "../support/db.ts";

/** What a failing promise means: reason and message, or the error itself where it means nothing to a caller. */
async function meaning(work: Promise<unknown>) {
  const err = await work.then(
    () => new Error("it did not fail"),
    (thrown: unknown) => thrown,
  );
  const meant = asBrokerError(err);
  return meant instanceof BrokerError ? { reason: meant.reason, retryAfterMs: meant.retryAfterMs } : meant;
}

const badInput = { reason: "BAD_FIELD", retryAfterMs: undefined };
const away = { reason: "DATABASE_DOWN", retryAfterMs: 1_000 };

describe("on a real Postgres", () => {
  test("data that it refuses is the caller's fault", async ({ db }) => {
    const json = (text: string) => db.sql`SELECT ${text}::text::jsonb`;
    expect(await meaning(json('{"a":"\\u0000"}'))).toEqual(badInput);
    expect(await meaning(json('{"a":"\\ud800"}'))).toEqual(badInput);
    expect(await meaning(json("{"))).toEqual(badInput);
    expect(await meaning(json(`{"a":1${"0".repeat(200_000)}}`))).toEqual(badInput);
    expect(await meaning(json("[".repeat(20_000)))).toEqual(badInput);
    expect(await meaning(db.sql`SELECT ${"9999999999"}::text::integer`)).toEqual(badInput);
    expect(await meaning(db.sql`SELECT ${"abc"}::text::integer`)).toEqual(badInput);
    const tooLong = db.sql.begin(async (tx) => {
      await tx`CREATE TEMP TABLE narrow (a varchar(3)) ON COMMIT DROP`;
      await tx`INSERT INTO narrow VALUES (${"four"})`;
    });
    expect(await meaning(tooLong)).toEqual(badInput);
    expect(await meaning(db.sql`SELECT ${"294277-01-01"}::text::timestamptz`)).toEqual(badInput);
    expect(await meaning(db.sql`SELECT ${"a\u0000b"}::text`)).toEqual(badInput);
  });

  test("a statement that takes too long, or waits too long for a lock, may be sent again", async ({ db }) => {
    const late = db.sql.begin(async (tx) => {
      await tx`SET LOCAL statement_timeout = 20`;
      await tx`SELECT count(*) FROM generate_series(1, 1000000000)`;
    });
    expect(await meaning(late)).toEqual(away);
    const locked = db.sql.begin(async (holder) => {
      await holder`LOCK TABLE ai_job IN ACCESS EXCLUSIVE MODE`;
      return await meaning(
        db.reserved.begin(async (tx) => {
          await tx`SET LOCAL lock_timeout = 20`;
          await tx`SELECT 1 FROM ai_job`;
        }),
      );
    });
    expect(await locked).toEqual(away);
  });

  test("a connection that is killed, or a server that takes none, is a database that is down", async ({ url }) => {
    const victim = openPool({ url, statementTimeoutMs: 0, lockTimeoutMs: 0 }, 1);
    expect(await meaning(victim`SELECT pg_terminate_backend(pg_backend_pid())`)).toEqual(away);
    await meaning(victim`SELECT 1`); // The server's word of farewell may come with the next one.
    await victim.end();
    expect(await meaning(victim`SELECT 1`)).toEqual(away);

    const nobody = postgres("postgres://postgres@127.0.0.1:1/postgres", { max: 1, connect_timeout: 2 });
    expect(await meaning(nobody`SELECT 1`)).toEqual(away);
    await nobody.end();
    const noSocket = postgres({ path: "/nonexistent/.s.PGSQL.5432", user: "postgres", max: 1, connect_timeout: 2 });
    expect(await meaning(noSocket`SELECT 1`)).toEqual(away);
    await noSocket.end();
    const none = withDatabase(url, "there_is_none");
    const noDatabase = openPool({ url: none, statementTimeoutMs: 0, lockTimeoutMs: 0 }, 1);
    expect(await meaning(noDatabase`SELECT 1`)).toEqual(away);
    await noDatabase.end();
  });

  test("a wrong statement stays what it is: a bug", async ({ db }) => {
    const err = await meaning(db.sql`SELECT nothing_of_this_name`);
    expect(err).toMatchObject({ name: "PostgresError", code: "42703" });
  });

  test("Drizzle's wrapping hides nothing", async ({ db }) => {
    expect(await meaning(db.drizzle.execute(`SELECT 'x'::integer`))).toEqual(badInput);
  });
});

test("what was classified before, and what is no error of a database, comes back unchanged", () => {
  const known = badField("type", "is too long");
  expect(asBrokerError(known)).toBe(known);
  expect(asBrokerError(new Error("wrapped", { cause: known }))).toBe(known);
  for (const thrown of [new TypeError("x"), "text", undefined, null, 0, { code: "08006" }]) {
    expect(asBrokerError(thrown)).toBe(thrown);
  }
  const noFile = Object.assign(new Error("ENOENT: no such file"), { code: "ENOENT", syscall: "open" });
  expect(asBrokerError(noFile)).toBe(noFile);
  const ring: Error & { cause?: unknown } = new Error("ring");
  ring.cause = ring;
  expect(asBrokerError(ring)).toBe(ring);
});

test("a standby that is asked for a transaction's number is away, as where it is asked to write; no other fault of its kind is", () => {
  const internal = (text: string) => Object.assign(new Error(text), { name: "PostgresError", code: "XX000" });
  expect(asBrokerError(internal("cannot assign TransactionIds during recovery"))).toMatchObject(away);
  const bug = internal("cache lookup failed for type 1");
  expect(asBrokerError(bug)).toBe(bug);
});

test("no message says where the database is or who logs in", async () => {
  for (const code of ["ECONNREFUSED", "CONNECTION_CLOSED", "28P01", "53300", "57P03", "40P01"]) {
    const err = Object.assign(new Error('password failed for user "canary" at 10.9.8.7'), {
      name: "PostgresError",
      code,
    });
    const meant = asBrokerError(err);
    expect(meant).toMatchObject({ reason: "DATABASE_DOWN", retryAfterMs: 1_000 });
    expect((meant as Error).message).not.toMatch(/canary|10\.9/);
  }
});

test("a statement that failed has not happened, unless its answer may have been lost", () => {
  const failed = (code: string, name = "PostgresError") => Object.assign(new Error("x"), { name, code });
  const states = ["23505", "57014", "57P01", "53100", "40P01"].map((code) => failed(code));
  const unmade = ["ECONNREFUSED", "CONNECTION_ENDED"].map((code) => failed(code, "Error"));
  for (const err of [...states, ...unmade]) expect(mayHaveHappened(asBrokerError(err)), err.code).toBe(false);
  // The last is how PgBouncer says that Postgres' connection broke under the statement.
  const lost = [failed("CONNECTION_CLOSED", "Error"), failed("ECONNRESET", "Error"), failed("08P01")];
  for (const err of lost) expect(mayHaveHappened(asBrokerError(err)), err.code).toBe(true);
});
