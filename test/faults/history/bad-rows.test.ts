/** Histories in which the database did what no move may do: each rule about rows finds its own, and shows it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  type BadCase,
  jobRow,
  jobRows,
  oneDone,
  oneReclaimed,
  resultRow,
  shownOf,
  unheard,
  violationsOf,
  without,
  written,
} from "./bad-case.ts";
import { RULES } from "./check.ts";
import type { SampleRun } from "./sample-run.ts";

/** Its only attempt fails. */
function oneFailed(run: SampleRun): void {
  run.dispatch("a", { maxAttempts: 1 });
  run.report(run.claim("a", "w1")!, "FAILED");
}

/** Its first attempt fails, its second one is done. */
function oneRetried(run: SampleRun): void {
  run.dispatch("a");
  run.report(run.claim("a", "w1")!, "FAILED");
  run.pass(3_000_000);
  run.report(run.claim("a", "w1")!, "DONE");
}

const CASES: BadCase[] = [
  {
    rule: "every-job-ends",
    name: "a job that waits when all is over",
    run: (run) => run.dispatch("a"),
    spoil: () => undefined,
    options: { drained: true },
    shown: ["database: dispatch: nothing → PENDING", "final: job"],
  },
  {
    rule: "final-is-the-last-version",
    name: "a job that is not what its last move made of it",
    run: oneDone,
    spoil: ({ final }) => {
      for (const row of final) if (row.table === "job") row.status = "FAILED";
    },
    shown: ["database: report: RUNNING → DONE", "final: job"],
  },
  {
    rule: "state-tables-agree",
    name: "a lease row that is left behind",
    run: oneDone,
    spoil: ({ final }) => {
      final.push({ table: "lease", id: 1, worker: "w1", expiresAt: null });
    },
    shown: ["final: job", "final: lease"],
  },
  {
    rule: "state-tables-agree",
    name: "a job that waits and cannot be claimed",
    run: (run) => run.dispatch("a"),
    spoil: ({ final }) =>
      without(
        final,
        final.find(({ table }) => table === "ready"),
      ),
    options: { drained: false },
    shown: ["final: job"],
  },
  {
    rule: "leases-never-overlap",
    name: "a second lease while the first one runs",
    run: oneReclaimed,
    spoil: (all) => {
      without(all.versions, jobRow(all, 2));
    },
    shown: ["database: claim: PENDING → RUNNING", "database: claim: PENDING → RUNNING"],
  },
  {
    rule: "deliveries-grow",
    name: "a hand-out that was not counted",
    run: oneDone,
    spoil: (all) => {
      for (const row of jobRows(all)) row.deliveries = 0;
    },
    shown: ["database: dispatch: nothing → PENDING", "database: claim: PENDING → RUNNING"],
  },
  {
    rule: "no-early-reclaim",
    name: "a lease that was taken back before its end",
    run: oneReclaimed,
    spoil: (all) => {
      jobRow(all, 1).expiresAt! += 120_000_000;
    },
    shown: ["database: claim: PENDING → RUNNING", "database: reclaim: RUNNING → PENDING"],
  },
  {
    rule: "only-current-token-settles",
    name: "an attempt that another lease's token ended",
    run: oneReclaimed,
    spoil: (all) => {
      jobRow(all, -1).settledToken = "t1";
    },
    shown: ["w2/1: report as w2 invoke", "database: report: RUNNING → DONE", "w2/1: report as w2 ok"],
  },
  {
    rule: "one-result-per-life",
    name: "a result that was replaced",
    run: oneDone,
    spoil: (all) => {
      all.versions.push({ ...resultRow(all), nth: 99, change: "UPDATE", at: resultRow(all).at + 1 });
    },
    shown: ["database: INSERT result", "database: UPDATE result"],
  },
  {
    rule: "result-with-the-end",
    name: "a DONE without a result row",
    run: oneDone,
    spoil: (all) => without(all.versions, resultRow(all)),
    shown: ["database: report: RUNNING → DONE"],
  },
  {
    rule: "result-with-the-end",
    name: "a result of an attempt that did not end the job",
    run: oneRetried,
    spoil: (all) => {
      all.versions.push({ ...resultRow(all), tx: jobRow(all, 2).tx, nth: jobRow(all, 2).nth });
    },
    shown: ["database: INSERT result"],
  },
  {
    rule: "attempts-count-claims",
    name: "a claim that spent no attempt",
    run: oneDone,
    spoil: (all) => {
      for (const row of jobRows(all)) row.attempt = 0;
    },
    shown: ["database: dispatch: nothing → PENDING", "database: claim: PENDING → RUNNING"],
  },
  {
    rule: "attempts-count-claims",
    name: "more attempts than there may be",
    run: oneRetried,
    spoil: (all) => {
      for (const row of jobRows(all)) row.maxAttempts = 1;
    },
    shown: ["database: report: RUNNING → PENDING", "database: claim: PENDING → RUNNING"],
  },
  {
    rule: "failed-for-cause",
    name: "a job that failed at a reclaim with attempts left",
    run: (run) => {
      run.dispatch("a", { maxAttempts: 1 });
      run.claim("a", "w1");
      run.pass(70_000_000);
      run.reclaim();
    },
    spoil: (all) => {
      for (const row of jobRows(all)) row.maxAttempts = 5;
    },
    shown: ["database: claim: PENDING → RUNNING", "database: reclaim: RUNNING → FAILED"],
  },
  {
    rule: "history-is-whole",
    name: "a version that is missing",
    run: oneDone,
    spoil: (all) => without(all.versions, jobRow(all, 1)),
    shown: ["database: dispatch: nothing → PENDING", "database: claim: RUNNING → RUNNING"],
  },
  {
    rule: "history-is-whole",
    name: "a heartbeat's version that is missing",
    run: oneDone,
    spoil: (all) => without(all.versions, jobRow(all, 2)),
    shown: ["database: claim: PENDING → RUNNING", "database: report: RUNNING → DONE"],
  },
  {
    rule: "legal-transitions",
    name: "an end that keeps its token",
    run: oneDone,
    spoil: (all) => {
      jobRow(all, -1).token = "t1";
    },
    shown: ["database: beat: RUNNING → RUNNING", "database: report: RUNNING → DONE"],
  },
  {
    rule: "legal-transitions",
    name: "an ended job that got another end",
    run: oneFailed,
    spoil: (all) => {
      all.versions.push({ ...jobRow(all, -1), nth: 99, was: "FAILED", status: "DONE", eventSeq: 4 });
    },
    shown: ["database: report: RUNNING → FAILED", "database: unknown: FAILED → DONE"],
  },
  {
    rule: "ended-stays-ended",
    name: "a job that began again and nobody asked",
    run: (run) => {
      oneFailed(run);
      run.retry("a");
    },
    spoil: unheard("retry"),
    options: { drained: false },
    shown: ["database: report: RUNNING → FAILED", "database: retry: FAILED → PENDING"],
  },
  {
    rule: "backoff-is-waited",
    name: "a failed attempt that is due at once",
    run: oneRetried,
    spoil: (all) => {
      jobRow(all, 2).nextRunAt = jobRow(all, 2).now;
    },
    shown: ["w1/1: report as w1 invoke", "database: report: RUNNING → PENDING", "w1/1: report as w1 ok"],
  },
  {
    rule: "claimed-when-due",
    name: "a job that was handed out too early",
    run: oneDone,
    spoil: (all) => {
      jobRow(all, 1).nextRunAt = jobRow(all, 1).now + 1;
    },
    shown: ["database: dispatch: nothing → PENDING", "database: claim: PENDING → RUNNING"],
  },
  {
    rule: "cancelled-is-not-worked",
    name: "a result that was taken after the cancel",
    run: (run) => {
      run.dispatch("a");
      const lease = run.claim("a", "w1");
      run.cancel("a");
      run.report(lease!, "DONE");
    },
    spoil: (all) => {
      Object.assign(jobRow(all, -1), { status: "DONE", settledAs: "DONE" });
    },
    shown: ["database: ask: RUNNING → RUNNING", "database: report: RUNNING → DONE"],
  },
];

describe("a bad row", () => {
  test.each(CASES)("$rule: $name", ({ rule, run, spoil, options, shown }) => {
    const all = written(run);
    expect(violationsOf(all, { drained: false }).map((one) => one.rule)).toEqual([]);
    spoil(all);
    const found = violationsOf(all, { drained: false, ...options }).find((one) => one.rule === rule);
    expect(found && shownOf(found)).toEqual(shown);
  });
});

test("every rule has a bad history in one of these files", () => {
  const here = ["bad-rows", "bad-calls", "bad-events", "bad-leases"].map((name) =>
    readFileSync(join(import.meta.dirname, `${name}.test.ts`), "utf8"),
  );
  expect(RULES.map(({ name }) => name).filter((name) => !here.join("").includes(`rule: "${name}"`))).toEqual([]);
});
