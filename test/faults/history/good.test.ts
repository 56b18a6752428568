/** Histories that keep every promise, with calls of unknown outcome that did and that did not happen. */
import { expect, test } from "vitest";
import { checkHistory } from "./check.ts";
import { SampleRun } from "./sample-run.ts";
import type { Options } from "./violation.ts";

function expectGood(run: SampleRun, options: Partial<Options> = {}): void {
  const { violations } = checkHistory(run.records, { versions: run.versions, final: run.final() }, options);
  expect(violations).toEqual([]);
}

test("a job that is dispatched, claimed, kept alive and done breaks nothing", () => {
  const run = new SampleRun();
  run.dispatch("a");
  const lease = run.claim("a", "w1");
  run.heartbeat(lease!);
  run.report(lease!, "DONE");
  run.watch();
  expectGood(run, { subscribers: [{ name: "watcher", kinds: ["dispatched", "started", "done"] }] });
});

test("a report whose reply was lost may have happened: its repeat is told DUPLICATE", () => {
  const run = new SampleRun();
  run.dispatch("a");
  const lease = run.claim("a", "w1");
  run.report(lease!, "DONE", { fate: "reply lost" });
  run.report(lease!, "DONE");
  expect(run.records.at(-1)?.items).toMatchObject([{ status: "DUPLICATE" }]);
  expectGood(run);
});

test("a report that its broker ran twice, since the first answer was lost, is told DUPLICATE of itself", () => {
  const run = new SampleRun();
  run.dispatch("a");
  run.report(run.claim("a", "w1")!, "DONE");
  run.records.at(-1)!.items![0]!.status = "DUPLICATE";
  expectGood(run);
});

test("a report whose request was lost may not have happened: its repeat is accepted", () => {
  const run = new SampleRun();
  run.dispatch("a");
  const lease = run.claim("a", "w1");
  run.report(lease!, "DONE", { fate: "request lost" });
  run.report(lease!, "DONE");
  expect(run.records.at(-1)?.items).toMatchObject([{ status: "ACCEPTED" }]);
  expectGood(run);
});

test("a dispatch of unknown outcome may be there or not, and its repeat is told which", () => {
  const run = new SampleRun();
  run.dispatch("a", { fate: "reply lost" });
  run.dispatch("a");
  run.dispatch("b", { fate: "request lost" });
  run.dispatch("b");
  run.dispatch("never", { fate: "request lost" });
  expect(run.records.flatMap(({ phase, items }) => (phase === "ok" ? items : []))).toMatchObject([
    { status: "KNOWN" },
    { status: "CREATED" },
  ]);
  run.drain();
  expectGood(run);
});

test("a report of a lease that was taken back is refused, and the next worker's is accepted", () => {
  const run = new SampleRun();
  run.dispatch("a");
  const late = run.claim("a", "w1");
  run.pass(70_000_000);
  run.reclaim();
  const lease = run.claim("a", "w2");
  run.report(late!, "DONE");
  expect(run.records.at(-1)?.items).toMatchObject([{ status: "LEASE_LOST" }]);
  run.report(lease!, "DONE", { result: '{"ok":3}' });
  expectGood(run);
});

test("a report after the lease's end, but before it was taken back, is accepted", () => {
  const run = new SampleRun();
  run.dispatch("a");
  const lease = run.claim("a", "w1");
  run.pass(70_000_000);
  run.report(lease!, "DONE");
  expectGood(run);
});

test("a claim whose answer was lost finds its lease when it is repeated, which runs anew, whoever hears of that", () => {
  for (const fate of ["answered", "reply lost", "request lost"] as const) {
    const run = new SampleRun();
    run.dispatch("a");
    const lease = run.claim("a", "w1", "reply lost", "request r1");
    run.pass(30_000_000);
    run.repeatClaim(lease!, "request r1", fate);
    run.pass(40_000_000);
    if (fate === "answered") run.report(lease!, "DONE");
    run.drain();
    expectGood(run);
  }
});

test("a claim that a broker comes to late, after its repeat was answered by another, finds that one's lease", () => {
  const run = new SampleRun();
  run.dispatch("a");
  run.claim("a", "w1", "request lost", "request r1");
  const lease = run.claim("a", "w1", "answered", "request r1");
  run.lateClaim(lease!);
  run.report(lease!, "DONE");
  expectGood(run);
});

test("a job that goes to a seat at its dispatch, and comes back unseen, is worked by another", () => {
  const run = new SampleRun();
  run.dispatch("a", { handTo: "s1" });
  run.dispatch("b");
  const unseen = run.claimForStream("b", "s1", false);
  run.giveBackUnseen(unseen!);
  run.report(run.leases[0]!, "DONE");
  run.report(run.claimForStream("b", "s2")!, "DONE");
  expectGood(run);
});

test("a worker that comes back without its job loses it before its end, and keeps what it holds", () => {
  const run = new SampleRun();
  for (const job of ["a", "b"]) run.dispatch(job);
  const [kept] = [run.claimForStream("a", "s1"), run.claimForStream("b", "s1")];
  run.hello("s1", [kept!], "reply lost");
  expect(run.job("b")).toMatchObject({ status: "PENDING", attempt: 1 });
  run.report(kept!, "DONE");
  run.drain();
  expectGood(run);
});

test("a failed attempt waits for its backoff, the last one fails the job, and a retry begins a new life", () => {
  const run = new SampleRun();
  run.dispatch("a", { maxAttempts: 2 });
  run.report(run.claim("a", "w1")!, "FAILED");
  expect(run.claim("a", "w1")).toBeUndefined();
  run.pass(3_000_000);
  run.report(run.claim("a", "w1")!, "FAILED");
  expect(run.job("a")?.status).toBe("FAILED");
  run.retry("a", "reply lost");
  run.report(run.claim("a", "w2")!, "DONE");
  run.watch();
  expectGood(run, { subscribers: [{ name: "watcher", kinds: ["failed", "retried", "done"] }] });
});

test("a cancel ends what waits at once, and what runs with its worker's next report", () => {
  const run = new SampleRun();
  for (const job of ["a", "b"]) run.dispatch(job);
  const lease = run.claim("a", "w1");
  for (const job of ["a", "b"]) run.cancel(job);
  run.heartbeat(lease!);
  run.report(lease!, "DONE");
  expect(run.records.at(-1)?.items).toMatchObject([{ status: "CANCELLED" }]);
  expectGood(run);
});

test("a legacy worker's DONE wins over the lease's holder, who is refused then", () => {
  const run = new SampleRun();
  run.dispatch("a");
  const lease = run.claim("a", "w1");
  run.legacyReport("a", "ai-worker", "DONE");
  run.report(lease!, "DONE");
  expect(run.records.at(-1)?.items).toMatchObject([{ status: "LEASE_LOST" }]);
  expectGood(run);
});

// Of what plain SQL does there is no event but that of an end.
test("Django's publish of a job that was claimed meanwhile puts it back at once, and its worker is refused", () => {
  const run = new SampleRun();
  run.dispatch("a");
  const lease = run.claim("a", "w1");
  run.publish("a");
  run.report(lease!, "DONE");
  expect(run.records.at(-1)?.items).toMatchObject([{ status: "LEASE_LOST" }]);
  run.report(run.claim("a", "w2")!, "DONE", { result: '{"ok":3}' });
  expectGood(run, { skip: ["events-without-gap"] });
});

test("Django's publish in the ms of its insert puts it back at the time that it had", () => {
  const run = new SampleRun();
  run.dispatch("a");
  run.claim("a", "w1");
  run.publish("a");
  const versions = structuredClone(run.versions);
  const final = run.final();
  const insertedAt = run.job("a")!.nextRunAt - 250;
  for (const row of versions) if (row.table === "job") row.nextRunAt = insertedAt;
  for (const row of final) if (row.table === "job" || row.table === "ready") row.nextRunAt = insertedAt;
  const records = run.records.map((one) =>
    one.op === "publish" && one.phase === "invoke" ? { ...one, at: insertedAt + 100 } : one,
  );
  // The claim came between the two.
  for (const row of versions) if (row.table === "job" && row.status === "RUNNING") row.now = insertedAt + 150;
  const { violations } = checkHistory(records, { versions, final }, { drained: false, skip: ["events-without-gap"] });
  expect(violations.map(({ rule }) => rule).filter((rule) => rule === "no-early-reclaim")).toEqual([]);
});

test("Django's publish of a job that has ended meanwhile opens it again", () => {
  const run = new SampleRun();
  run.dispatch("a");
  run.report(run.claim("a", "w1")!, "DONE");
  run.publish("a");
  run.report(run.claim("a", "w2")!, "DONE");
  expectGood(run, { skip: ["events-without-gap"] });
});

test("a released job's attempt is given back, and a process killed in a call leaves it open", () => {
  const run = new SampleRun();
  run.dispatch("a");
  run.release(run.claim("a", "w1")!, "killed");
  expect(run.job("a")).toMatchObject({ status: "PENDING", attempt: 0, returns: 1 });
  run.report(run.claim("a", "w2")!, "DONE", { fate: "killed" });
  expectGood(run);
});

test("calls that a client makes by itself, and nobody writes down, may have come at any time", () => {
  const run = new SampleRun();
  for (const job of ["a", "b"]) run.dispatch(job);
  const [kept, given] = [run.claimForStream("a", "s1"), run.claimForStream("b", "s1")];
  for (const lease of [kept!, given!]) run.heartbeat(lease);
  run.release(given!);
  run.claimForStream("b", "s1", false);
  run.hello("s1", [kept!]);
  run.report(kept!, "DONE");
  run.drain();
  expectGood(run);
  const silent = run.records.filter(({ op }) => op !== "heartbeat" && op !== "hello" && op !== "release");
  const rows = { versions: run.versions, final: run.final() };
  const rules = checkHistory(silent, rows).violations.map(({ rule }) => rule);
  expect(new Set(rules)).toEqual(new Set(["no-early-reclaim", "given-back-unseen", "heartbeats-extend-their-own"]));
  expect(checkHistory(silent, rows, { unrecorded: ["heartbeat", "hello", "release"] }).violations).toEqual([]);
});
