/** What `npm run bench -- --compare FILE` marks. */
import { expect, test } from "vitest";
import { compareFigures } from "../../bench/harness/compare.ts";
import { type Measure, measureOf } from "../../bench/harness/figures.ts";

type Row = [measure: string, system: string, value: number, setting?: string];

const measures = (...rows: Row[]): Measure[] =>
  rows.map(([measure, system, value, setting = ""]) => measureOf({ measure, system, setting, unit: "" }, [value]));

/** A drain at 1,000 jobs a second beside a peer's 2,000. */
const BEFORE = measures(["drain", "ai-job-broker", 1_000], ["drain", "pg-boss", 2_000]);

const dropped = (...now: Row[]) => compareFigures(BEFORE, measures(...now)).map((one) => one.dropped);

test("a machine half as fast has dropped nothing", () => {
  const now = measures(["drain", "ai-job-broker", 500], ["drain", "pg-boss", 1_000]);
  expect(compareFigures(BEFORE, now)).toEqual([
    { measure: "drain", peer: "pg-boss", was: 0.5, is: 0.5, dropped: false },
  ]);
});

test("a ratio that is more than 15 % worse is marked, one that is 15 % worse is not", () => {
  expect(dropped(["drain", "ai-job-broker", 849], ["drain", "pg-boss", 2_000])).toEqual([true]);
  expect(dropped(["drain", "ai-job-broker", 850], ["drain", "pg-boss", 2_000])).toEqual([false]);
  expect(dropped(["drain", "ai-job-broker", 1_000], ["drain", "pg-boss", 2_400])).toEqual([true]);
});

test("of latencies the less is the better, above 1 in every case", () => {
  const before = measures(["latency p50 at 100/s", "ai-job-broker", 4], ["latency p50 at 100/s", "bullmq", 2]);
  const now = measures(["latency p50 at 100/s", "ai-job-broker", 8], ["latency p50 at 100/s", "bullmq", 2]);
  expect(compareFigures(before, now)).toMatchObject([{ was: 0.5, is: 0.25, dropped: true }]);
  expect(compareFigures(now, before)).toMatchObject([{ was: 0.25, is: 0.5, dropped: false }]);
});

test("each system counts by the best of its settings", () => {
  const [drain] = compareFigures(
    BEFORE,
    measures(
      ["drain", "ai-job-broker", 900, "over connect"],
      ["drain", "ai-job-broker", 1_200, "over grpc-js"],
      ["drain", "pg-boss", 2_400, "1,000 at a time"],
      ["drain", "pg-boss", 500, "500 at a time"],
    ),
  );
  expect(drain).toMatchObject({ was: 0.5, is: 0.5 });
});

test("what only one of the two runs has, and what is no speed, is left out", () => {
  const more: Row[] = [
    ["flow", "ai-job-broker", 10],
    ["flow", "pg-boss", 10],
    ["drain: CPU per job, server", "ai-job-broker", 90],
    ["drain: CPU per job, server", "pg-boss", 30],
    ["memory", "ai-job-broker", 200],
    ["memory", "pg-boss", 100],
  ];
  const now = measures(["drain", "ai-job-broker", 1_000], ["drain", "pg-boss", 2_000], ...more);
  expect(compareFigures(BEFORE, now).map(({ measure }) => measure)).toEqual(["drain"]);
  expect(compareFigures(now, now).map(({ measure }) => measure)).toEqual(["drain", "flow"]);
});

test("a system that was not there is no peer", () => {
  const absent = measureOf({ measure: "drain", system: "bullmq", setting: "no redis-server", unit: "" }, []);
  expect(compareFigures([...BEFORE, absent], [...BEFORE, absent]).map(({ peer }) => peer)).toEqual(["pg-boss"]);
});
