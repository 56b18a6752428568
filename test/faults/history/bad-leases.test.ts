/** Histories in which a worker got more than it asked for, or was kept in the dark: each rule finds its own, and shows it. */
import { describe, expect, test } from "vitest";
import { type BadCase, itemOf, jobRow, oneDone, shownOf, unheard, violationsOf, written } from "./bad-case.ts";

const CASES: BadCase[] = [
  {
    rule: "seats-are-kept",
    name: "a worker with one seat that got two jobs",
    run: (run) => {
      for (const job of ["a", "b"]) {
        run.dispatch(job);
        run.claimForStream(job, "s1");
      }
    },
    spoil: ({ records }) => {
      for (const record of records.filter(({ op }) => op === "push")) record.limit = 1;
    },
    shown: ["database: claim: PENDING → RUNNING", "database: claim: PENDING → RUNNING", "s1/1: push as s1 told"],
  },
  {
    rule: "unseen-is-not-burnt",
    name: "a lease that its worker never heard of, and that ran out",
    run: (run) => {
      run.dispatch("a");
      run.claimForStream("a", "s1", false);
      run.pass(70_000_000);
      run.reclaim();
    },
    spoil: () => undefined,
    options: { brokersLive: true },
    shown: ["database: claim: PENDING → RUNNING", "database: reclaim: RUNNING → PENDING"],
  },
  {
    rule: "heartbeats-extend-their-own",
    name: "a stream that was welcomed with more than the row has",
    run: (run) => {
      run.dispatch("a");
      const lease = run.claimForStream("a", "s1");
      run.hello("s1", [lease!]);
    },
    spoil: (all) => {
      itemOf(all, "hello", "ok").expiresAt! += 1;
    },
    shown: ["s1/1: hello as s1 invoke", "database: beat: RUNNING → RUNNING", "s1/1: hello as s1 ok"],
  },
  {
    rule: "heartbeats-extend-their-own",
    name: "a lease that ran anew with a claim that was no repeat",
    run: (run) => {
      run.dispatch("a");
      const lease = run.claim("a", "w1", "reply lost", "request r1");
      run.repeatClaim(lease!, "request r1");
    },
    spoil: ({ records }) => {
      for (const record of records) if (record.note === "request r1") record.note = `request ${record.call}`;
    },
    shown: ["database: claim: PENDING → RUNNING", "database: beat: RUNNING → RUNNING"],
  },
  {
    rule: "heartbeats-extend-their-own",
    name: "a lease that ran anew long after the repeat of its claim was answered",
    run: (run) => {
      run.dispatch("a");
      const lease = run.claim("a", "w1", "reply lost", "request r1");
      run.repeatClaim(lease!, "request r1");
      run.pass(30_000_000);
      run.heartbeat(lease!);
    },
    spoil: unheard("heartbeat"),
    shown: ["database: beat: RUNNING → RUNNING", "database: beat: RUNNING → RUNNING"],
  },
  {
    rule: "heartbeats-extend-their-own",
    name: "a stream's lease that ran anew with a claim of its worker's",
    run: (run) => {
      run.dispatch("a");
      const lease = run.claimForStream("a", "w1");
      run.dispatch("b");
      const own = run.claim("b", "w1", "reply lost", "request r1");
      run.heartbeat(lease!);
      run.repeatClaim(own!, "request r1", "request lost");
    },
    spoil: unheard("heartbeat"),
    shown: ["database: claim: PENDING → RUNNING", "database: beat: RUNNING → RUNNING"],
  },
  {
    rule: "cancel-is-told",
    name: "a heartbeat that was told to go on after the cancel",
    run: (run) => {
      run.dispatch("a");
      const lease = run.claim("a", "w1");
      run.cancel("a");
      run.heartbeat(lease!);
    },
    spoil: (all) => {
      itemOf(all, "heartbeat", "ok").status = "CONTINUE";
    },
    shown: ["database: ask: RUNNING → RUNNING", "w1/1: heartbeat as w1 invoke", "w1/1: heartbeat as w1 ok"],
  },
  {
    rule: "only-current-token-settles",
    name: "a legacy worker that failed another one's attempt",
    run: (run) => {
      run.dispatch("a");
      run.claim("a", "w1");
      run.legacyReport("a", "w1", "FAILED");
    },
    spoil: ({ records }) => {
      for (const record of records.filter(({ op }) => op === "legacyReport")) record.worker = "w2";
    },
    shown: ["w1/1: legacyReport as w2 invoke", "database: legacy: RUNNING → PENDING", "w1/1: legacyReport as w2 ok"],
  },
  {
    rule: "state-tables-agree",
    name: "a job that ran for a moment without a lease that could run out",
    run: oneDone,
    spoil: (all) => {
      const { job, token, attempt, eventSeq, nextRunAt, at } = jobRow(all, 1);
      const facts = { id: 1, job, status: "RUNNING" as const, attempt, token, eventSeq, nextRunAt };
      all.glimpses = [[], [{ table: "job", at, type: "t", priority: 0, ...facts }]];
    },
    shown: ["database: job"],
  },
];

describe("a bad lease", () => {
  test.each(CASES)("$rule: $name", ({ rule, run, spoil, options, shown }) => {
    const all = written(run);
    expect(violationsOf(all, { drained: false }).map((one) => one.rule)).toEqual([]);
    spoil(all);
    const found = violationsOf(all, { drained: false, ...options }).find((one) => one.rule === rule);
    expect(found && shownOf(found)).toEqual(shown);
  });
});

test("what an instance has is counted until the database has it no more, whichever stream it came by", () => {
  const all = written((run) => {
    for (const job of ["a", "b", "c"]) run.dispatch(job);
    run.report(run.claimForStream("a", "s1")!, "DONE");
    run.release(run.claimForStream("b", "s1")!);
    run.claimForStream("b", "s2");
    run.claimForStream("c", "s1");
  });
  for (const record of all.records.filter(({ op }) => op === "push")) record.limit = 1;
  expect(violationsOf(all, { drained: false })).toEqual([]);
});
