/** Lone dispatches that share a statement: who goes with whom, and that nobody pays for another's fault. */
import { expect } from "vitest";
import { createDispatchGatherer } from "../../src/dispatch/dispatch-gatherer.ts";
import { MOST_HANDED } from "../../src/dispatch/hand-off.ts";
import { dispatch } from "../../src/store/dispatch.ts";
import type { Dispatched, NewJob } from "../../src/store/rows.ts";
import { test } from "../support/db.ts";
import { newJob } from "../support/jobs.ts";

/** A store whose statements end when told. */
function gated() {
  const batches: string[][] = [];
  const ends: PromiseWithResolvers<void>[] = [];
  const store = async (jobs: NewJob[]): Promise<Dispatched[]> => {
    batches.push(jobs.map(({ id }) => id));
    const end = Promise.withResolvers<void>();
    ends.push(end);
    await end.promise;
    return jobs.map(({ id }) => ({ jobId: id, created: true }));
  };
  return { store, batches, ends };
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
const jobs = (...ids: string[]) => ids.map((id) => newJob({ id }));

test("two go at once, each alone; what comes meanwhile goes together", async () => {
  const { store, batches, ends } = gated();
  const gather = createDispatchGatherer(store);
  const calls = [jobs("a"), jobs("b"), jobs("c"), jobs("d", "e")].map(gather);
  expect(batches).toEqual([["a"], ["b"]]);
  ends[0]?.resolve();
  await settled();
  expect(batches[2]).toEqual(["c", "d", "e"]);
  for (const end of ends) end.resolve();
  expect((await Promise.all(calls)).flat().map(({ jobId }) => jobId)).toEqual(["a", "b", "c", "d", "e"]);
});

test("only jobs that may be handed off together share a statement, and no more of them than may be", async () => {
  const { store, batches, ends } = gated();
  const gather = createDispatchGatherer(store);
  const later = newJob({ id: "later", runAt: new Date(2e12) });
  const urgent = newJob({ id: "urgent", priority: 1 });
  const many = Array.from({ length: MOST_HANDED }, (_, at) => newJob({ id: `many-${at}` }));
  const calls = [jobs("a"), jobs("b"), jobs("c"), [later], [urgent], [newJob({ id: "x", type: "x" })], many].map(
    gather,
  );
  expect(batches).toEqual([["a"], ["b"], ["later"], ["urgent"], ["x"]]);
  const large = Array.from({ length: MOST_HANDED + 1 }, (_, at) => newJob({ id: `large-${at}` }));
  calls.push(gather(large));
  expect(batches.at(-1)).toHaveLength(MOST_HANDED + 1);
  for (let at = 0; at < 8; at++) {
    ends[at]?.resolve();
    await settled();
  }
  expect(batches.slice(6)).toEqual([["c"], many.map(({ id }) => id)]);
  expect((await Promise.all(calls)).flat()).toHaveLength(7 - 1 + MOST_HANDED + MOST_HANDED + 1);
});

test("a large payload leaves less room beside it", async () => {
  const { store, batches, ends } = gated();
  const gather = createDispatchGatherer(store);
  const payload = JSON.stringify("x".repeat(MOST_HANDED * 16_384));
  const calls = [jobs("a"), jobs("b"), [newJob({ id: "large", payload })], jobs("c")].map(gather);
  for (let at = 0; at < 4; at++) {
    ends[at]?.resolve();
    await settled();
  }
  expect(batches).toEqual([["a"], ["b"], ["large"], ["c"]]);
  await Promise.all(calls);
});

test("a call that is refused is refused alone, and in its own words", async ({ db: { sql } }) => {
  const gather = createDispatchGatherer((batch) => dispatch(sql, batch));
  await gather([newJob({ id: "first", idempotencyKey: "key", payload: "1" })]);
  const calls = [
    gather(jobs("a")),
    gather(jobs("b")),
    gather(jobs("c")),
    gather([newJob({ id: "other", idempotencyKey: "key", payload: "2" })]),
    gather([newJob({ id: "same", idempotencyKey: "key", payload: "1" })]),
    gather(jobs("d")),
    gather(jobs("d")),
  ];
  const told = await Promise.allSettled(calls);
  expect(told[3]).toMatchObject({
    reason: { reason: "IDEMPOTENCY_KEY_REUSED", field: "jobs[0].idempotency_key" },
  });
  const answers = told.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
  expect(answers).toMatchObject([
    { jobId: "a", created: true },
    { jobId: "b", created: true },
    { jobId: "c", created: true },
    { jobId: "first", created: false },
    { jobId: "d" },
    { jobId: "d" },
  ]);
  expect(answers.slice(-2).filter(({ created }) => created)).toHaveLength(1);
  expect(await sql`SELECT job_id FROM ai_job ORDER BY 1`).toEqual(
    ["a", "b", "c", "d", "first"].map((job_id) => ({ job_id })),
  );
});

test("where the answer was lost all are told so, and nothing is sent again", async () => {
  const batches: number[] = [];
  const lost = Object.assign(new Error("the connection was reset"), { code: "CONNECTION_CLOSED" });
  const gather = createDispatchGatherer(async (batch) => {
    batches.push(batch.length);
    if (batch.length > 1) throw lost;
    await settled();
    return batch.map(({ id }) => ({ jobId: id, created: true }));
  });
  const told = await Promise.allSettled([jobs("a"), jobs("b"), jobs("c"), jobs("d")].map(gather));
  expect(told.slice(2)).toEqual([
    { status: "rejected", reason: lost },
    { status: "rejected", reason: lost },
  ]);
  expect(batches).toEqual([1, 1, 2]);
});
