/** The report of the fault programme: what of an earlier one stays, and what is said of where it came from. */
import { expect, test } from "vitest";
import { type Report, type Run, reportMarkdown, reportOf } from "./report.ts";
import type { Outcome } from "./run-cell.ts";

function outcome(cell: string, more: Partial<Outcome> = {}): Outcome {
  const none = { jobs: 10, faults: 2, lost: 0, repeated: 0, violations: 0, recoverMs: 120, seconds: 1.5 };
  return { cell, ...none, notes: [`notes of ${cell}`], verdict: undefined, faultsFound: [], ...more };
}

function run(outcomes: Outcome[], more: Partial<Run> = {}): Run {
  return { seed: 7, full: true, postgres: "18.4", outcomes, skipped: [], ...more };
}

test("cells that are played again replace those of the earlier report, others stay; the order is the programme's", () => {
  const first = reportOf(run([outcome("cut-lines"), outcome("kill-broker", { jobs: 1 })]));
  const skipped = [{ cell: "cut-lines", why: "no lines" }];
  const then = reportOf(run([outcome("kill-worker"), outcome("kill-broker")], { seed: 9, skipped }), first);
  expect(then.outcomes).toMatchObject([
    { cell: "kill-broker", jobs: 10, seed: 9 },
    { cell: "kill-worker", seed: 9 },
  ]);
  expect(then.skipped).toEqual(skipped);
  const last = reportOf(run([outcome("cut-lines")]), then);
  expect(last.outcomes.map(({ cell, seed }) => [cell, seed])).toEqual([
    ["kill-broker", 9],
    ["kill-worker", 9],
    ["cut-lines", 7],
  ]);
  expect(last.skipped).toEqual([]);
});

test("the page tells which rules a cell was not judged by", () => {
  const rule = { invariant: 1, looked: 0, broken: 0 };
  const rules = [
    { ...rule, name: "legal-transitions", skipped: true },
    { ...rule, name: "fencing", skipped: false },
  ];
  const verdict = { violations: [], rules, jobs: 10, calls: 20, unknown: 0, versions: 30 };
  const page = reportMarkdown(reportOf(run([outcome("django", { verdict }), outcome("cut-lines")])));
  expect(page).toContain("- django: notes of django; not judged by `legal-transitions`\n");
  expect(page).toContain("- cut-lines: notes of cut-lines\n");
});

test("the page tells each seed and commit, and a cell that failed with how to have it again", () => {
  const one = reportOf(run([outcome("kill-broker")]));
  expect(reportMarkdown(one)).toMatch(/^Full run on .*; seed 7, commit \S+\.$/m);
  const bad = outcome("cut-lines", { violations: 1, recoverMs: undefined, faultsFound: ["a job was lost"] });
  const both: Report = reportOf(run([bad], { seed: 9 }), one);
  const page = reportMarkdown(both);
  expect(page).toMatch(/; seed 7, commit \S+: kill-broker; seed 9, commit \S+: cut-lines\.$/m);
  expect(page).toContain("| cut-lines | 10 | 2 | 0 | 0 | 1 | not | 1.5 |");
  expect(page).toContain("node test/faults/main.ts --only cut-lines --seed 9 --full\na job was lost");
});

test("cells of several machines are told apart, also those of a report that kept none", () => {
  const first = reportOf(run([outcome("kill-broker"), outcome("kill-worker")]));
  const old: Report = {
    ...first,
    machine: "an older machine",
    outcomes: first.outcomes.map(({ machine: _, ...kept }) => kept),
  };
  const page = reportMarkdown(reportOf(run([outcome("kill-worker")], { seed: 9 }), old));
  expect(page).toMatch(/^Full run on an older machine; seed 7, commit \S+: kill-broker\.$/m);
  expect(page).toMatch(/^And on .* cores.*; seed 9, commit \S+: kill-worker\.$/m);
});
