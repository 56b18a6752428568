/** What a watch refuses, how much it holds, and how it ends. */
import { Code } from "@connectrpc/connect";
import { expect } from "vitest";
import type { WatchJobsResponse } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import type { Database } from "../../src/store/db.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import { forgetEvents } from "../../src/store/events.ts";
import { startTestBroker, type TestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { isFlaky } from "../support/flaky-store.ts";
import { givenJob, givenLease, newJob } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { type Asked, openPaused, reasonOf, Watch, watching } from "../support/watching.ts";

test("a cursor that is older than the events that are kept is refused with the way out", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  const first = await watching(broker, { types: ["ocr"], changesOnly: true });
  await first[Symbol.asyncDispose]();
  await givenJob(db);
  await db.sql`UPDATE ai_event SET at = at - interval '8 days'`;
  await forgetEvents(db.sql, 7, 10);
  await using late = new Watch(broker, { types: ["ocr"], cursor: first.cursor });
  const err = await late.ended;
  expect(err?.code).toBe(Code.FailedPrecondition);
  expect(reasonOf(err)).toBe("CURSOR_EXPIRED");
  expect(err?.message).toContain("call without a cursor");
});

test.for<[string, Asked, string]>([
  ["no filter", {}, "job_ids"],
  ["an empty id", { jobIds: [""] }, "job_ids[0]"],
  ["too many types", { types: Array.from({ length: 101 }, (_, i) => `t${i}`) }, "types"],
  ["a cursor of nobody", { types: ["ocr"], cursor: "xyz" }, "cursor"],
  ["a long cursor", { types: ["ocr"], cursor: "x".repeat(100_000) }, "cursor"],
  [
    "numbers that no database has",
    { types: ["a"], cursor: Buffer.from(JSON.stringify(["9".repeat(20), "0", "x"])).toString("base64url") },
    "cursor",
  ],
])("%s is refused, naming the field", async ([, asked, field], { db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using watch = new Watch(broker, asked);
  const err = await watch.ended;
  expect(err?.code).toBe(Code.InvalidArgument);
  expect(err?.message).toContain(`${field}: `);
});

test("a cursor of another filter is refused", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using watch = await watching(broker, { types: ["ocr"] });
  await using other = new Watch(broker, { types: ["embed"], cursor: watch.cursor });
  expect((await other.ended)?.message).toContain("another filter");
});

test("more jobs than a state may hold are refused, and can be watched without it", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  for (let n = 0; n < 11; n++) {
    await dispatch(
      db.sql,
      Array.from({ length: 1_000 }, () => newJob({ type: "many" })),
    );
  }
  await using wide = new Watch(broker, { types: ["many"] });
  expect((await wide.ended)?.message).toContain("changes_only");
  await using narrow = await watching(broker, { types: ["many"], changesOnly: true });
  const id = await givenJob(db, { type: "many" });
  expect(await narrow.heard(1)).toEqual([`${id} 1 DISPATCHED`]);
});

test("a state of several frames is complete with the last one, which alone has a cursor", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await dispatch(
    db.sql,
    Array.from({ length: 1_000 }, () => newJob()),
  );
  await givenJob(db);
  await using watch = await watching(broker, { types: ["ocr"] });
  expect(watch.frames.map(({ frame }) => frame.case === "state" && frame.value.complete)).toEqual([false, false, true]);
  expect(watch.frames.map(({ cursor }) => cursor !== "")).toEqual([false, false, true]);
  expect(new Set(watch.jobs.map(({ jobId }) => jobId)).size).toBe(1_001);
});

// A watch that begins anew has more than its first frame.
test.skipIf(isFlaky)("only so many watchers are served, and who leaves makes room", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { WATCH_MAX_STREAMS: "2" });
  await using first = await watching(broker, { types: ["a"] });
  const second = await watching(broker, { types: ["b"] });
  await using refused = new Watch(broker, { types: ["c"] });
  expect(reasonOf(await refused.ended)).toBe("TOO_MANY_STREAMS");
  await second[Symbol.asyncDispose]();
  await until("there is room", async () => {
    const watch = new Watch(broker, { types: ["c"] });
    await Promise.race([watch.ended, watch.begun()]);
    await using _it = watch;
    return watch.frames.length > 0;
  });
  expect(first.frames).toHaveLength(1);
});

test("a broker that stops ends its watches with SHUTTING_DOWN, and is not held up", async ({ db: _, url }) => {
  const broker = await startTestBroker(url);
  await using watch = await watching(broker, { types: ["ocr"] });
  await broker.stop();
  expect(reasonOf(await watch.ended)).toBe("SHUTTING_DOWN");
});

/** More than a page of them each: what a batch of 500 leaves behind. */
const batchOf = (sql: Database["sql"], job: string) =>
  sql`INSERT INTO ai_event (job_id, seq, kind, job_type, attempt, error)
    SELECT ${job}, n, 'retrying', 'ocr', 1, '' FROM generate_series(2, 501) n`;

test("what the state has shown is not told again, though a page of what it has not shown lies before it", async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  for (const id of ["a", "b"]) await givenJob(db, { id });
  const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const late = db.sql.begin(async (tx) => {
    await batchOf(tx as unknown as Database["sql"], "a");
    begun.resolve();
    await end.promise;
  });
  await begun.promise;
  await batchOf(db.sql, "b");
  await using watch = await watching(broker, { jobIds: ["a", "b"] });
  end.resolve();
  await late;
  await watch.heard(500);
  await db.sql`INSERT INTO ai_event (job_id, seq, kind, job_type, attempt) VALUES ('b', 502, 'retrying', 'ocr', 1)`;
  await until("the last one is told", () => watch.events.at(-1)?.seq === 502n);
  const shown = Array.from({ length: 500 }, (_, n) => `a ${n + 2}`);
  expect(watch.events.map(({ jobId, seq }) => `${jobId} ${seq}`)).toEqual([...shown, "b 502"]);
});

/** Twice the frames that grpc-js takes in by itself for a reader that has paused: sixteen. */
const burst = (db: Database) =>
  db.sql`INSERT INTO ai_event (job_id, seq, kind, job_type, attempt, error)
    SELECT 'j', n, 'retrying', 'ocr', 1, repeat('x', 300) FROM generate_series(2, 16001) n`;

const BURST = Array.from({ length: 16_000 }, (_, i) => i + 2);

const seqsOf = (frames: WatchJobsResponse[]) =>
  frames.flatMap(({ frame }) => (frame.case === "changes" ? frame.value.events.map(({ seq }) => Number(seq)) : []));

async function openSlow(broker: TestBroker) {
  const slow = openPaused(broker, { jobIds: ["j"] });
  slow.call.resume();
  await until("the state has come", () => slow.frames.length > 0);
  slow.call.pause();
  return slow;
}

// A bare call of grpc-js does not come again with its cursor when the store fails.
test.skipIf(isFlaky)(
  "a burst that is more than may wait reaches each watcher whole, also one that reads late",
  async ({ db, url }) => {
    await using broker = await startTestBroker(url);
    await givenJob(db, { id: "j" });
    using slow = await openSlow(broker);
    await using quick = await watching(broker, { jobIds: ["j"] });
    await burst(db);
    await quick.heard(16_000);
    slow.call.resume();
    await until("the slow one has read all", () => seqsOf(slow.frames).length >= 16_000);
    await givenLease(db);
    await until("both are live again", () => [slow.frames, quick.frames].every((all) => seqsOf(all).length > 16_000));
    // The lease is the job's second change: a burst that was made up has its number, too.
    expect(seqsOf(slow.frames)).toEqual([...BURST, 2]);
    expect(seqsOf(quick.frames)).toEqual([...BURST, 2]);
  },
);

test.skipIf(isFlaky)("a watcher that reads no more is ended, and its last cursor has the rest", async ({ db, url }) => {
  await using broker = await startTestBroker(url, { WATCH_STALL_MS: "200", WATCH_MAX_STREAMS: "1" });
  await givenJob(db, { id: "j" });
  using slow = await openSlow(broker);
  await burst(db);
  await until("its place is free", async () => {
    await using other = new Watch(broker, { jobIds: ["j"], changesOnly: true });
    await Promise.race([other.ended, other.begun()]);
    return other.frames.length > 0;
  });
  slow.call.resume();
  await slow.ended;
  const before = seqsOf(slow.frames);
  expect(before.length).toBeLessThan(16_000);
  await using rest = await watching(broker, { jobIds: ["j"], cursor: slow.frames.at(-1)?.cursor ?? "" });
  await rest.heard(16_000 - before.length);
  expect([...before, ...seqsOf(rest.frames)]).toEqual(BURST);
});
