/** What Django's publish may not be taken for: it puts a job back once, at once, and nothing else. */
import { expect, test } from "vitest";
import { type BadCase, jobRow, oneReclaimed, shownOf, unheard, violationsOf, without, written } from "./bad-case.ts";
import type { Item } from "./record.ts";
import type { SampleRun } from "./sample-run.ts";

function renamed(item: Item): void {
  if (item.status === "DUPLICATE") item.status = "ACCEPTED";
}

/** Django publishes it when a worker has it. */
function published(run: SampleRun): void {
  run.dispatch("a");
  run.claim("a", "w1");
  run.publish("a");
}

const CASES: BadCase[] = [
  {
    rule: "only-current-token-settles",
    name: "an attempt that went back with no publish of Django's about",
    run: published,
    spoil: unheard("publish"),
    shown: ["database: legacy: RUNNING → PENDING"],
  },
  {
    rule: "backoff-is-waited",
    name: "a second step back while one publish is under way",
    run: (run) => {
      published(run);
      run.claim("a", "w2");
      run.publish("a");
    },
    spoil: ({ records }) => {
      const [first, ...others] = records.filter(({ op }) => op === "publish");
      for (const record of others) without(records, record);
      records.push({ ...first!, phase: "unknown" });
    },
    shown: ["database: legacy: RUNNING → PENDING"],
  },
  {
    rule: "no-early-reclaim",
    name: "a lease that was taken back before its end while Django publishes",
    run: (run) => {
      oneReclaimed(run);
      run.publish("b");
    },
    spoil: (all) => {
      jobRow(all, 1).expiresAt! += 120_000_000;
      for (const record of all.records.filter(({ op }) => op === "publish")) {
        record.items = [{ job: "a" }];
        if (record.phase === "invoke") record.at = jobRow(all, 1).at;
      }
    },
    shown: ["database: claim: PENDING → RUNNING", "database: reclaim: RUNNING → PENDING"],
  },
  {
    rule: "one-result-per-life",
    name: "two accepted reports before Django's publish had opened the job again",
    run: (run) => {
      run.dispatch("a");
      const lease = run.claim("a", "w1")!;
      run.report(lease, "DONE");
      run.report(lease, "DONE");
      run.publish("a");
      run.report(run.claim("a", "w2")!, "DONE");
    },
    spoil: ({ records }) => {
      for (const record of records) if (record.op === "report") for (const item of record.items ?? []) renamed(item);
    },
    shown: ["w1/1: report as w1 invoke", "w1/1: report as w1 ok", "w1/1: report as w1 invoke", "w1/1: report as w1 ok"],
  },
  {
    rule: "backoff-is-waited",
    name: "an attempt that went back before Django's publish had begun, and is due at once",
    run: published,
    spoil: ({ records }) => {
      for (const record of records.filter(({ op }) => op === "publish")) record.at += 10_000_000;
    },
    shown: ["database: legacy: RUNNING → PENDING"],
  },
];

/** Of what plain SQL does there is no event but that of an end. */
const OPTIONS = { drained: false, skip: ["events-without-gap"] };

test.each(CASES)("$rule: $name", ({ rule, run, spoil, shown }) => {
  const all = written(run);
  expect(violationsOf(all, OPTIONS).map((one) => one.rule)).toEqual([]);
  spoil(all);
  const found = violationsOf(all, OPTIONS).find((one) => one.rule === rule);
  expect(found && shownOf(found)).toEqual(shown);
});
