/** The page of a run says what was held, what was not, and what was not tried. */
import { expect, test } from "vitest";
import { type Row, reportMarkdown } from "./report.ts";

const before = { calls: 500, p50: 2, p99: 10, max: 12, failures: [] };
const told = {
  ...{ size: "100 frames", rounds: 3, tookMs: 1_000, before, during: { ...before, p99: 15, max: 40 } },
  ...{ p99BoundMs: 25, rss: { before: 120, peak: 140.4, kept: 132, after: 121 }, postgres: "18.4" },
};
const rows: Row[] = [
  { name: "a flood", state: "passed", words: undefined, told },
  { name: "a crowd", state: "passed", words: undefined, told: { ...told, rounds: 1, p99BoundMs: 5_000, why: "calls" } },
  { name: "a bomb | two", state: "failed", words: "expected 60 to be\nless", told },
  { name: "idle", state: "skipped", words: "too few files", told: undefined },
  { name: "not asked for", state: "skipped", words: undefined, told: undefined },
];

test("each attack is a row with its figures and its verdict", () => {
  const page = reportMarkdown(rows, "abc", new Date("2026-11-26T12:00:00Z"));
  expect(page).toMatch(/^2 of 4 passed on 2026-11-26: .*PostgreSQL 18\.4; commit abc\.$/m);
  expect(page.split("\n").filter((line) => line.startsWith("| a ") || line.startsWith("| idle"))).toEqual([
    "| a flood | 100 frames, 3 times | 10.0 | 15.0 | 1.5 | 40 | 120 | 140 | 132 | 121 | held |",
    "| a crowd | 100 frames | 10.0 | 15.0 | 1.5 | 40 | 120 | 140 | 132 | 121 | held; p99 held to 5,000 ms: calls |",
    "| a bomb \\| two | 100 frames, 3 times | 10.0 | 15.0 | 1.5 | 40 | 120 | 140 | 132 | 121 | failed; expected 60 to be |",
    "| idle |  |  |  |  |  |  |  |  |  | skipped; too few files |",
  ]);
  expect(page).not.toContain("not asked for");
});
