/** A dispatch that goes straight to a stream of this broker, on a real database. */
import { describe, expect, vi } from "vitest";
import { createHandOff } from "../../src/dispatch/hand-off.ts";
import { type Move, NO_RECORDER } from "../../src/dispatch/recorder.ts";
import type { Offer } from "../../src/dispatch/waiters.ts";
import type { Sql } from "../../src/store/db.ts";
import { dispatch as dispatchOnly } from "../../src/store/dispatch.ts";
import { pauseType } from "../../src/store/type-pause.ts";
import { test } from "../support/db.ts";
import { expectNoDrift, givenJob, newJob, rowOf, statusOf } from "../support/jobs.ts";
import { reportDone, type StreamBroker, startStreams } from "./stream-broker.ts";

/** A broker that says which statements its moves ran, once it knows that nothing waits. */
async function startCounting(url: string) {
  const moves: Move[] = [];
  const claimed: string[] = [];
  const record = {
    ...NO_RECORDER,
    began: (move: Move) => void moves.push(move),
    claimed: (leases: readonly { jobId: string }[]) => void claimed.push(...leases.map(({ jobId }) => jobId)),
  };
  const broker = await startStreams(url, { record });
  return Object.assign(broker, { ran: moves, claimed });
}

/** A first look has found nothing. */
const looked = (broker: { waiters: { offer(type: string, sizes: number[]): Offer | undefined } }) =>
  vi.waitFor(() => {
    const offer = broker.waiters.offer("ocr", [2]);
    offer?.close([]);
    expect(offer).toBeDefined();
  });

/** Over a line that is cut after the commit. */
function handOffOver({ waiters, lost }: Pick<StreamBroker, "waiters" | "lost">, sql: Sql, words: string) {
  return createHandOff({
    sql,
    waiters,
    lost,
    leaseMs: 60_000,
    maxAnswerBytes: 3_000_000,
    async run(_move, run) {
      await run();
      throw new Error(words);
    },
  });
}

test("one statement takes a job from its producer to its worker", async ({ db, url }) => {
  await using broker = await startCounting(url);
  const worker = await broker.connect({ max: 2 });
  await looked(broker);
  const before = broker.ran.length;
  const stored = await broker.moves.dispatch([newJob({ id: "x" }), newJob({ id: "y" })]);
  expect(stored).toMatchObject([{ jobId: "x", created: true }, { jobId: "y" }]);
  // There already: no claim had to be waited for.
  expect(worker.ids()).toEqual(["x", "y"]);
  expect(broker.ran.slice(before)).toEqual(["dispatch"]);
  expect(broker.claimed).toEqual(["x", "y"]);
  expect(worker.session.free).toBe(0);
  expect(await reportDone(broker, worker.jobs)).toEqual(["ACCEPTED", "ACCEPTED"]);
  await expectNoDrift(db);
});

test("each lane that jobs went into is told of, whether a seat got them or not", async ({ db }) => {
  const starts = { of: () => [], took: () => undefined, missed: () => undefined, opened: vi.fn() };
  const offer = vi.fn((): Offer | undefined => undefined);
  const store = createHandOff({
    sql: db.sql,
    waiters: { offer, lookNow: () => undefined },
    run: (_move, run) => run(),
    leaseMs: 60_000,
    maxAnswerBytes: 3_000_000,
    starts,
  });
  const told = () => starts.opened.mock.calls.splice(0).map(([{ type, priority }]) => `${type} ${priority}`);
  await store([newJob(), newJob(), newJob({ priority: 3 }), newJob({ type: "embedding", priority: 3 })]);
  expect(told()).toEqual(["ocr 0", "ocr 3", "embedding 3"]);
  offer.mockReturnValue({ types: ["ocr"], seats: [], close: () => undefined, lost: () => undefined });
  await store([newJob()]);
  expect(told()).toEqual(["ocr 0"]);
});

test("jobs beyond the free seats wait, and come as seats become free", async ({ db, url }) => {
  await using broker = await startCounting(url);
  const worker = await broker.connect({ max: 1 });
  await looked(broker);
  await broker.moves.dispatch([newJob({ id: "x" }), newJob({ id: "y" })]);
  expect(worker.ids()).toEqual(["x"]);
  expect(await statusOf(db, "y")).toBe("PENDING");
  await reportDone(broker, worker.jobs);
  await worker.got(2);
  expect(worker.ids()).toEqual(["x", "y"]);
  await expectNoDrift(db);
});

test("a job that plain SQL wrote a moment ago goes first, though the broker does not know of it", async ({
  db,
  url,
}) => {
  await using broker = await startCounting(url);
  const worker = await broker.connect({ max: 1 });
  await looked(broker);
  await givenJob(db, { id: "older" });
  await broker.moves.dispatch([newJob({ id: "newer" })]);
  await worker.got(1);
  expect(worker.ids()).toEqual(["older"]);
  await reportDone(broker, worker.jobs);
  await worker.got(2);
  expect(worker.ids()).toEqual(["older", "newer"]);
});

test("a paused type waits, though seats are free", async ({ db, url }) => {
  await using broker = await startCounting(url);
  const worker = await broker.connect();
  await looked(broker);
  await pauseType(db, "ocr", "");
  await broker.moves.dispatch([newJob({ id: "x" })]);
  expect([worker.ids(), await statusOf(db, "x")]).toEqual([[], "PENDING"]);
});

describe("no seat is asked for", () => {
  const options = { leaseMs: 60_000, maxAnswerBytes: 1_000 };
  test.for([
    ["more jobs than go one by one", Array.from({ length: 33 }, () => newJob())],
    ["jobs of two types", [newJob(), newJob({ type: "b" })]],
    ["jobs of two priorities", [newJob(), newJob({ priority: 1 })]],
    ["an id that would make the token too long", [newJob({ id: "𝕏".repeat(33) })]],
    ["a job with a time of its own", [newJob({ runAt: new Date(0) })]],
  ] as const)("for %s", async ([, jobs], { db }) => {
    const offer = vi.fn(() => undefined);
    const dispatch = createHandOff({
      ...options,
      sql: db.sql,
      waiters: { offer, lookNow: () => undefined },
      run: (_, run) => run(),
    });
    expect(await dispatch([...jobs])).toHaveLength(jobs.length);
    expect(offer).not.toHaveBeenCalled();
  });
});

test("an answer that is lost after its commit gives the job back, with no attempt spent", async ({ db, url }) => {
  await using broker = await startCounting(url);
  const worker = await broker.connect();
  await looked(broker);
  const dispatch = handOffOver(broker, db.sql, "the line was cut");
  await expect(dispatch([newJob({ id: "x" })])).rejects.toThrow("the line was cut");
  expect(await rowOf(db, "x")).toMatchObject({ status: "RUNNING", deliveries: 1 });
  await broker.lost.settle();
  await worker.got(1);
  expect(worker.ids()).toEqual(["x"]);
  expect(await rowOf(db, "x")).toMatchObject({ status: "RUNNING", attempt_count: 1, deliveries: 2 });
  await expectNoDrift(db);
});

test("a worker that comes back before that, and names nothing, costs the job no attempt either", async ({
  db,
  url,
}) => {
  await using broker = await startCounting(url);
  const [instanceId, max] = ["i", 1];
  await broker.connect({ instanceId, max });
  await looked(broker);
  const dispatch = handOffOver(broker, db.sql, "the line was cut");
  await expect(dispatch([newJob({ id: "x", maxAttempts: 1 })])).rejects.toThrow("the line was cut");
  expect(await rowOf(db, "x")).toMatchObject({ status: "RUNNING", attempt_count: 1, instance_id: instanceId });
  const newer = await broker.connect({ instanceId, max });
  await newer.got(1);
  expect(await rowOf(db, "x")).toMatchObject({ status: "RUNNING", attempt_count: 1, deliveries: 2 });
});

test("a lost answer gives back every job of the batch, whichever of them had the seat", async ({ db, url }) => {
  await using broker = await startCounting(url);
  const worker = await broker.connect({ max: 1 });
  await looked(broker);
  const known = newJob({ idempotencyKey: "k" });
  await dispatchOnly(db.sql, [known]);
  await db.sql`DELETE FROM ai_ready`;
  await db.sql`UPDATE ai_job SET status = 'DONE', move = move + 1`;
  const dispatch = handOffOver(broker, db.sql, "the line was cut");
  await expect(dispatch([{ ...known, id: "other" }, newJob({ id: "fresh" })])).rejects.toThrow("the line was cut");
  await broker.lost.settle();
  await worker.got(1);
  expect(worker.ids()).toEqual(["fresh"]);
  expect(await rowOf(db, "fresh")).toMatchObject({ attempt_count: 1, deliveries: 2 });
});

test("where nothing was sent, nothing is given back", async ({ db, url }) => {
  await using broker = await startCounting(url);
  await broker.connect();
  await looked(broker);
  const before = broker.ran.length;
  const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED", syscall: "connect" });
  const run = () => Promise.reject(refused);
  const dispatch = createHandOff({ sql: db.sql, waiters: broker.waiters, run, leaseMs: 1, maxAnswerBytes: 1 });
  await expect(dispatch([newJob()])).rejects.toBe(refused);
  expect(broker.ran.slice(before)).toEqual([]);
  // And the seats are free, on a queue that is known to be empty still.
  await looked(broker);
});

test("a refusal frees the seats", async ({ db: _, url }) => {
  await using broker = await startCounting(url);
  const worker = await broker.connect({ max: 1 });
  await looked(broker);
  await broker.moves.dispatch([newJob({ id: "x", idempotencyKey: "k" })]);
  await reportDone(broker, worker.jobs);
  const other = newJob({ idempotencyKey: "k", payload: "{}" });
  await expect(broker.moves.dispatch([other])).rejects.toMatchObject({ reason: "IDEMPOTENCY_KEY_REUSED" });
  expect(worker.session.free).toBe(1);
  await broker.moves.dispatch([newJob({ id: "y" })]);
  expect(worker.ids()).toEqual(["x", "y"]);
});
