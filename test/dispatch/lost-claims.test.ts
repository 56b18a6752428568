/** Claims that Postgres carries out and whose answer never reaches the broker. */
import { expect, vi } from "vitest";
import { LostClaims } from "../../src/dispatch/lost-claims.ts";
import { createSeatClaims } from "../../src/dispatch/seat-claims.ts";
import type { Database } from "../../src/store/db.ts";
import { heartbeat } from "../../src/store/heartbeat.ts";
import { leasesOfClaims } from "../../src/store/lost-leases.ts";
import { test } from "../support/db.ts";
import { claimAs, givenJob, givenLease, givenSeat, rowOf } from "../support/jobs.ts";
import { startMoves } from "../support/moves.ts";

const NEVER = new AbortController().signal;
const LASTS_MS = 7_000;

/** The broker's own, by a clock of the test's. */
function lostClaims(db: Database) {
  const clock = { ms: 0 };
  const broker: { moves?: ReturnType<typeof startMoves>["moves"] } = {};
  const looks: number[] = [];
  const lost = new LostClaims({
    find: async (tokens) => {
      looks.push(tokens.length);
      return await leasesOfClaims(db.reserved, tokens);
    },
    giveBack: async (...leases) => broker.moves?.giveBack(...leases),
    log: { warn: () => undefined } as never,
    lastsMs: LASTS_MS,
    now: () => clock.ms,
  });
  const started = startMoves(db, { lost });
  broker.moves = started.moves;
  return { lost, started, clock, looks };
}

const cut = (): never => {
  throw Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
};

/** The pool loses the answer to each claim once Postgres has given it. */
function losing(db: Database): Database {
  const lose = (sql: Database["sql"]) =>
    new Proxy(sql, {
      get: (of, name) => {
        if (name !== "unsafe") return Reflect.get(of, name);
        return (text: string, ...more: []) => {
          const asked = of.unsafe(text, ...more);
          return text.includes("dead_seats") ? asked.then(cut) : asked;
        };
      },
    });
  return { ...db, sql: lose(db.sql) };
}

test("a claim by call whose answer is lost leaves no job behind: it is due again, with no attempt spent", async ({
  db,
}) => {
  const jobId = await givenJob(db);
  const { lost, started, looks } = lostClaims(losing(db));
  await using _broker = started;
  const call = { workerId: "w1", types: [], maxJobs: 1, waitMs: 0, requestId: null };
  await expect(started.moves.claim(call, NEVER)).rejects.toMatchObject({ reason: "DATABASE_DOWN" });
  expect(await rowOf(db, jobId)).toMatchObject({ status: "RUNNING", locked_by: "w1", attempt_count: 1 });
  await lost.settle();
  expect(await rowOf(db, jobId)).toMatchObject({ status: "PENDING", attempt_count: 0, returns: 1 });
  expect(looks).toEqual([1]);
});

test("so does one for the seats of streams", async ({ db }) => {
  const jobId = await givenJob(db);
  const seat = await givenSeat(db, "i1");
  const { lost, started } = lostClaims(db);
  await using _broker = started;
  const options = { log: { debug: () => undefined, isLevelEnabled: () => false } as never, leaseMs: 60_000 };
  const claim = createSeatClaims({ ...options, sql: losing(db).sql, lost, maxAnswerBytes: 3_000_000 });
  await expect(claim([], [seat])).rejects.toMatchObject({ reason: "DATABASE_DOWN" });
  expect(await rowOf(db, jobId)).toMatchObject({ status: "RUNNING", instance_id: "i1" });
  await lost.settle();
  expect(await rowOf(db, jobId)).toMatchObject({ status: "PENDING", attempt_count: 0 });
});

test("it is looked for until it can no longer commit, and nobody asks where nothing was lost", async ({ db }) => {
  const { lost, started, clock, looks } = lostClaims(db);
  await using _broker = started;
  await lost.settle();
  await expect(lost.watch("late", async () => cut())).rejects.toThrow("ECONNRESET");
  await expect(
    lost.watch("refused", async () => Promise.reject(Object.assign(new Error("no"), { code: "ECONNREFUSED" }))),
  ).rejects.toThrow("no");
  await lost.settle();
  const jobId = await givenJob(db);
  // Its commit came after the first look.
  await givenLease(db, "w1", { token: "late" });
  clock.ms += LASTS_MS;
  await lost.settle();
  expect(await rowOf(db, jobId)).toMatchObject({ status: "PENDING", attempt_count: 0 });
  await lost.settle();
  expect(looks).toEqual([1, 1]);
});

test("what another claim has made stays, and so does what a worker has named since", async ({ db }) => {
  const { lost, started } = lostClaims(db);
  await using _broker = started;
  for (let at = 0; at < 3; at++) await givenJob(db);
  const [seen, mine, other] = [
    ...(await claimAs(db, "w1", { token: "lost_1" })),
    ...(await claimAs(db, "w2", { token: "lost_1.1" })),
    ...(await claimAs(db, "w1", { token: "lostX1" })),
  ].map((lease) => lease ?? expect.unreachable("nothing to claim"));
  await heartbeat(db.reserved, [{ ...(seen as NonNullable<typeof seen>), progress: null }], 60_000);
  await expect(lost.watch("lost_1", async () => cut())).rejects.toThrow("ECONNRESET");
  await lost.settle();
  const statusOf = async (lease: typeof seen) => (await rowOf(db, lease?.jobId ?? ""))["status"];
  expect(await Promise.all([seen, mine, other].map(statusOf))).toEqual(["RUNNING", "PENDING", "RUNNING"]);
});

test("a database that is away keeps it for the next time", async () => {
  const given: string[] = [];
  const answers = [Promise.reject(new Error("away")), Promise.resolve([{ jobId: "j", token: "t.1", workerId: "w" }])];
  const lost = new LostClaims({
    find: async () => (await answers.shift()) ?? [],
    giveBack: async (workerId, leases) => void given.push(workerId, ...leases.map(({ token }) => token)),
    log: { warn: () => undefined } as never,
    lastsMs: 0,
  });
  await expect(lost.watch("t", async () => cut())).rejects.toThrow("ECONNRESET");
  await expect(lost.settle()).rejects.toThrow("away");
  await lost.settle();
  expect(given).toEqual(["w", "t.1"]);
});

test("of many that ask at once the first has its look, and all others share the one behind it", async () => {
  const looks: (() => void)[] = [];
  const lost = new LostClaims({
    find: () => new Promise((resolve) => looks.push(() => resolve([]))),
    giveBack: async () => undefined,
    log: { warn: () => undefined } as never,
    lastsMs: 60_000,
  });
  await expect(lost.watch("t", async () => cut())).rejects.toThrow("ECONNRESET");
  const asked = [lost.settle(), lost.settle(), lost.settle()];
  expect(looks).toHaveLength(1);
  looks[0]?.();
  await asked[0];
  await vi.waitFor(() => expect(looks).toHaveLength(2));
  looks[1]?.();
  await Promise.all(asked);
  expect(looks).toHaveLength(2);
});
