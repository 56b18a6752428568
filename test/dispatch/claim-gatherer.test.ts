/** Claims by call that come at the same time: which of them share a statement, and what each of them gets. */
import pino from "pino";
import { expect, onTestFinished } from "vitest";
import { type ClaimGathererOptions, createClaimGatherer } from "../../src/dispatch/claim-gatherer.ts";
import { NO_RECORDER, type Recorder } from "../../src/dispatch/recorder.ts";
import type { Database, Sql } from "../../src/store/db.ts";
import type { Lease } from "../../src/store/rows.ts";
import { test } from "../support/db.ts";
import { expectNoDrift, givenJob } from "../support/jobs.ts";
import { until } from "../support/until.ts";

/** A gatherer, with how many jobs each of its statements took, and how many statements have begun. */
function gatherer(db: Database, more: Partial<ClaimGathererOptions> = {}) {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: "trace" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const seen = { began: 0, ended: 0, took: [] as number[], lines };
  const record: Recorder = {
    ...NO_RECORDER,
    began: () => void seen.began++,
    ended: () => void seen.ended++,
    claimed: (leases) => void seen.took.push(leases.length),
  };
  const claims = createClaimGatherer({ sql: db.sql, log, maxAnswerBytes: 3_000_000, record, ...more });
  const claim = async (
    workerId: string,
    {
      types = [] as string[],
      maxJobs = 1,
      leaseMs = 60_000,
      requestId = null as string | null,
      signal = undefined as AbortSignal | undefined,
    } = {},
  ): Promise<string[]> => facts(await claims({ workerId, types, maxJobs, requestId }, leaseMs, signal));
  return { claim, seen };
}

const facts = (leases: Lease[]) => leases.map(({ jobId, workerId }) => `${jobId} for ${workerId}`);

/** From here on each claim waits for a lock. Answers what lets them go on. */
async function holdClaims(db: Database): Promise<() => Promise<void>> {
  const held = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const over = db.reserved.begin(async (tx) => {
    await tx`LOCK TABLE ai_type_pause IN ACCESS EXCLUSIVE MODE`;
    held.resolve();
    await gate.promise;
  });
  const release = async () => {
    gate.resolve();
    await over;
  };
  onTestFinished(release);
  await held.promise;
  return release;
}

async function givenJobs(db: Database, letters: string, payload = "{}", type = "ocr"): Promise<void> {
  for (const id of letters) await givenJob(db, { id, payload, type });
}

/** Who holds what, by the database. */
async function held(db: Database): Promise<string[]> {
  const rows = await db.sql`SELECT job_id || ' for ' || l.worker_id AS what FROM ai_job JOIN ai_lease l USING (id)
    WHERE status = 'RUNNING' ORDER BY 1`;
  return rows.map((row) => String(row["what"]));
}

/** The same pool. Both are told the number of a claim's statement, from 1: `after` may throw, as if its answer were lost. */
function faulty(
  sql: Sql,
  fault: { after?: (nth: number) => void; instead?: (nth: number) => string | undefined },
): Sql {
  let nth = 0;
  return new Proxy(sql, {
    get(target, key) {
      if (key !== "unsafe") return Reflect.get(target, key);
      return (text: string, ...rest: [never[], object]) => {
        if (!text.includes("WITH RECURSIVE")) return target.unsafe(text, ...rest);
        const own = ++nth;
        const broken = fault.instead?.(own);
        if (broken !== undefined) return target.unsafe(broken);
        return target.unsafe(text, ...rest).then((rows) => {
          fault.after?.(own);
          return rows;
        });
      };
    },
  });
}

test("a lone call goes at once, by itself, as a claim for one worker", async ({ db }) => {
  await givenJobs(db, "ab");
  const { claim, seen } = gatherer(db);
  const release = await holdClaims(db);
  const lone = claim("w1");
  expect(seen.began).toBe(1);
  const text = await until("it waits for the lock", async () => {
    const rows = await db.reserved`SELECT query FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    return rows[0] === undefined ? undefined : String(rows[0]["query"]);
  });
  expect(text).toContain("ai_type_pause");
  expect(text).not.toContain("taker");
  await release();
  expect(await lone).toEqual(["a for w1"]);
  expect(await claim("w2")).toEqual(["b for w2"]);
  expect(seen).toMatchObject({ began: 2, ended: 2, took: [1, 1] });
});

test("calls that come while one is under way share the next statement, each with its own jobs", async ({ db }) => {
  await givenJobs(db, "abcdef");
  const { claim, seen } = gatherer(db);
  const release = await holdClaims(db);
  const calls = [claim("w1"), claim("w2", { maxJobs: 2, requestId: "r2" }), claim("w3"), claim("w4", { maxJobs: 9 })];
  expect(seen.began).toBe(1);
  await release();
  expect(await Promise.all(calls)).toEqual([
    ["a for w1"],
    ["b for w2", "e for w2"],
    ["c for w3"],
    ["d for w4", "f for w4"],
  ]);
  expect(seen).toMatchObject({ began: 2, ended: 2, took: [1, 5] });
  expect(await db.sql`SELECT job_id FROM ai_lease JOIN ai_job USING (id) WHERE request_id = 'r2' ORDER BY id`).toEqual([
    { job_id: "b" },
    { job_id: "e" },
  ]);
  const started = seen.lines.filter((line) => line["to"] === "RUNNING");
  expect(started.map((line) => `${line["job_id"]} for ${line["worker"]}`).sort()).toEqual(await held(db));
  await expectNoDrift(db);
});

test("calls with other types, or with leases of another length, have statements of their own", async ({ db }) => {
  await givenJobs(db, "abcd");
  await givenJobs(db, "xyz", "{}", "grade");
  const { claim, seen } = gatherer(db);
  const release = await holdClaims(db);
  const apart = [
    claim("w1"),
    claim("w2", { types: ["grade"] }),
    claim("w3", { types: ["grade"], leaseMs: 30_000 }),
    claim("w4", { types: ["ocr", "grade"] }),
  ];
  expect(seen.began).toBe(4);
  // The order of the types does not matter.
  const beside = [claim("w5", { types: ["grade", "ocr"] }), claim("w6", { types: ["grade"], leaseMs: 30_000 })];
  expect(seen.began).toBe(4);
  await release();
  const all = (await Promise.all([...apart, ...beside])).map(([first]) => first);
  expect(all[1]).toMatch(/^[xyz] for w2$/);
  expect(all[2]).toMatch(/^[xyz] for w3$/);
  expect(all[5]).toMatch(/^[xyz] for w6$/);
  expect(all.toSorted()).toEqual(await held(db));
  expect(seen.began).toBe(6);
  const lengths = await db.sql`SELECT locked_by, extract(epoch FROM lease_expires_at - locked_at)::int AS s FROM ai_job
    WHERE status = 'RUNNING' ORDER BY 1`;
  expect(lengths.map((row) => row["s"])).toEqual([60, 60, 30, 60, 60, 30]);
});

test("who leaves before its statement begins gets nothing, and no job is leased to it", async ({ db }) => {
  await givenJobs(db, "abc");
  const { claim, seen } = gatherer(db);
  expect(await claim("early", { signal: AbortSignal.abort() })).toEqual([]);
  expect(seen.began).toBe(0);
  const release = await holdClaims(db);
  const caller = new AbortController();
  const first = claim("w1");
  const left = claim("left", { maxJobs: 9, signal: caller.signal });
  const stays = claim("w2", { signal: new AbortController().signal });
  caller.abort();
  await release();
  expect(await Promise.all([first, left, stays])).toEqual([["a for w1"], [], ["b for w2"]]);
  expect(seen.began).toBe(2);
  expect(await held(db)).toEqual(["a for w1", "b for w2"]);
  await expectNoDrift(db);
});

test("who leaves while its statement runs is given what it took, so that somebody can give it back", async ({ db }) => {
  await givenJobs(db, "a");
  const { claim } = gatherer(db);
  const release = await holdClaims(db);
  const caller = new AbortController();
  const leaving = claim("w1", { signal: caller.signal });
  caller.abort();
  await release();
  expect(await leaving).toEqual(["a for w1"]);
});

test("who got nothing because others filled the answer is in the next statement, until all have some", async ({
  db,
}) => {
  await givenJobs(db, "abcd", JSON.stringify({ text: "x".repeat(3_000) }));
  const { claim, seen } = gatherer(db, { maxAnswerBytes: 6_000 });
  const release = await holdClaims(db);
  const calls = [claim("w1"), claim("w2", { maxJobs: 2 }), claim("w3"), claim("w4")];
  await release();
  expect(await Promise.all(calls)).toEqual([["a for w1"], ["b for w2"], ["c for w3"], ["d for w4"]]);
  expect(seen.took).toEqual([1, 1, 1, 1]);
  expect(seen.began).toBe(4);
});

test("who leaves before that further statement gets nothing", async ({ db }) => {
  await givenJobs(db, "abcd", JSON.stringify({ text: "x".repeat(3_000) }));
  const caller = new AbortController();
  const leave = (nth: number) => (nth === 2 ? caller.abort() : undefined);
  const { claim, seen } = gatherer(db, { maxAnswerBytes: 6_000, sql: faulty(db.sql, { after: leave }) });
  const release = await holdClaims(db);
  const calls = [claim("w1"), claim("w2"), claim("left", { signal: caller.signal }), claim("w4")];
  await release();
  expect(await Promise.all(calls)).toEqual([["a for w1"], ["b for w2"], [], ["c for w4"]]);
  expect(seen.took).toEqual([1, 1, 1]);
  expect(await held(db)).toEqual(["a for w1", "b for w2", "c for w4"]);
});

test("who got nothing because there is no more asks no further", async ({ db }) => {
  await givenJobs(db, "ab");
  const { claim, seen } = gatherer(db);
  const release = await holdClaims(db);
  const calls = [claim("w1"), claim("w2"), claim("w3"), claim("w4")];
  await release();
  expect(await Promise.all(calls)).toEqual([["a for w1"], ["b for w2"], [], []]);
  expect(seen).toMatchObject({ began: 2, took: [1, 1] });
});

test("where the answer of a shared statement is lost, no call takes anything a second time", async ({ db }) => {
  await givenJobs(db, "abcdef");
  const cut = (nth: number) => {
    if (nth === 2) throw Object.assign(new Error("write CONNECTION_CLOSED"), { code: "CONNECTION_CLOSED" });
  };
  const { claim, seen } = gatherer(db, { sql: faulty(db.sql, { after: cut }) });
  const release = await holdClaims(db);
  const calls = ["w1", "w2", "w3"].map((workerId) => claim(workerId));
  await release();
  const away = { status: "rejected", reason: { reason: "DATABASE_DOWN" } };
  expect(await Promise.allSettled(calls)).toMatchObject([{ value: ["a for w1"] }, away, away]);
  expect(seen).toMatchObject({ began: 2, ended: 2 });
  expect(await held(db)).toEqual(["a for w1", "b for w2", "c for w3"]);
  expect(await claim("w4")).toEqual(["d for w4"]);
});

test("where a shared statement changed nothing, each call is tried by itself", async ({ db }) => {
  await givenJobs(db, "abc");
  // All five tries of the second statement, which is the shared one.
  const deadlock = (nth: number) =>
    nth >= 2 && nth <= 6 ? "DO $$BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END$$" : undefined;
  const { claim, seen } = gatherer(db, { sql: faulty(db.sql, { instead: deadlock }) });
  const release = await holdClaims(db);
  const calls = ["w1", "w2", "w3"].map((workerId) => claim(workerId));
  await release();
  const all = (await Promise.all(calls)).map(([first]) => first);
  expect(all[0]).toBe("a for w1");
  expect(all).toEqual([expect.any(String), expect.stringMatching(/ for w2$/), expect.stringMatching(/ for w3$/)]);
  expect(all.toSorted()).toEqual(await held(db));
  expect(seen).toMatchObject({ began: 4, ended: 4, took: [1, 1, 1] });
  await expectNoDrift(db);
});

test("a call that no database can serve takes none of those beside it along", async ({ db }) => {
  await givenJobs(db, "abc");
  const { claim, seen } = gatherer(db);
  const release = await holdClaims(db);
  const calls = [claim("w1"), claim("w2"), claim("w\0"), claim("w3")];
  await release();
  const [first, second, broken, third] = await Promise.allSettled(calls);
  expect(broken).toMatchObject({ status: "rejected", reason: { reason: "BAD_FIELD" } });
  const got = [first, second, third].flatMap((each) => (each?.status === "fulfilled" ? each.value : []));
  expect(got.toSorted()).toEqual(await held(db));
  expect(seen).toMatchObject({ began: 5, ended: 5, took: [1, 1, 1] });
});
