/** Histories whose events are not those of the moves, or were told otherwise: each rule about events finds its own. */
import { describe, expect, test } from "vitest";
import {
  type BadCase,
  eventRows,
  itemOf,
  jobRow,
  oneDone,
  shownOf,
  violationsOf,
  without,
  written,
} from "./bad-case.ts";

const CASES: BadCase[] = [
  {
    rule: "event-with-transition",
    name: "an end that no event tells of",
    run: oneDone,
    spoil: (all) => without(all.versions, eventRows(all).at(-1)),
    shown: ["database: report: RUNNING → DONE"],
  },
  {
    rule: "event-with-transition",
    name: "an event in another transaction than its move",
    run: oneDone,
    spoil: (all) => {
      eventRows(all).at(-1)!.tx = "9999";
    },
    shown: ["database: report: RUNNING → DONE", "database: event 3 done"],
  },
  {
    rule: "events-without-gap",
    name: "a number that is left out",
    run: oneDone,
    spoil: (all) => {
      eventRows(all).at(-1)!.seq = 4;
      jobRow(all, -1).eventSeq = 4;
    },
    shown: ["database: beat: RUNNING → RUNNING", "database: report: RUNNING → DONE"],
  },
  {
    rule: "one-end-per-life",
    name: "a job that was told to have ended twice",
    run: oneDone,
    spoil: (all) => {
      all.versions.push({
        ...eventRows(all).at(-1)!,
        nth: 99,
        seq: 4,
        event: "failed",
        at: eventRows(all).at(-1)!.at + 1,
      });
    },
    shown: ["database: event 3 done", "database: event 4 failed"],
  },
  {
    rule: "told-as-written",
    name: "a watcher that was told of another end",
    run: (run) => {
      oneDone(run);
      run.watch();
    },
    spoil: (all) => {
      itemOf(all, "event", "told", 2).status = "failed";
    },
    shown: ["database: event 3 done", "watcher/1: event told"],
  },
  {
    rule: "told-in-order",
    name: "an endpoint that heard of the end before the start",
    run: (run) => {
      oneDone(run);
      run.watch("hook");
    },
    spoil: ({ records }) => {
      const [, started, done] = records.filter(({ op }) => op === "event");
      [started!.items, done!.items] = [done!.items, started!.items];
    },
    shown: ["hook/1: event told", "hook/1: event told"],
  },
  {
    rule: "told-at-least-once",
    name: "a watcher that missed the end",
    run: (run) => {
      oneDone(run);
      run.watch();
    },
    spoil: ({ records }) => without(records, records.at(-1)),
    options: { subscribers: [{ name: "watcher", kinds: ["done"] }] },
    shown: ["database: event 3 done"],
  },
];

describe("a bad event", () => {
  test.each(CASES)("$rule: $name", ({ rule, run, spoil, options, shown }) => {
    const all = written(run);
    expect(violationsOf(all, { drained: false }).map((one) => one.rule)).toEqual([]);
    spoil(all);
    const found = violationsOf(all, { drained: false, ...options }).find((one) => one.rule === rule);
    expect(found && shownOf(found)).toEqual(shown);
  });
});
