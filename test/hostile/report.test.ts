/** The page of a run says what was held, what was not, and what was not tried. */
import { expect, test } from "vitest";
import { type Row, reportMarkdown } from "./report.ts";

const before = { calls: 500, p50: 2, p99: 10, max: 12, failures: [] };
const told = {
  ...{ size: "100 frames", rounds: 3, tookMs: 1_000, before, during: { ...before, p99: 15, max: 40 } },
  ...{ p99BoundMs: 25, rss: { before: 120, peak: 140.4, kept: 132, after: 121 }, postgres: "18.4" },
};
const SOURCE = { commit: "abc", machine: "a machine", at: new Date("2026-11-26T12:00:00Z") };
const rows: Row[] = [
  { name: "a flood", state: "passed", words: undefined, told },
  { name: "a crowd", state: "passed", words: undefined, told: { ...told, rounds: 1, p99BoundMs: 5_000, why: "calls" } },
  { name: "a bomb | two", state: "failed", words: "expected 60 to be\nless", told },
  { name: "idle", state: "skipped", words: "too few files", told: undefined },
  { name: "not asked for", state: "skipped", words: undefined, told: undefined },
];

test("each attack is a row with its figures and its verdict", () => {
  const page = reportMarkdown(rows, SOURCE);
  expect(page).toMatch(/^2 of 4 held; the newest run was on 2026-11-26: a machine\.$/m);
  expect(page.split("\n").filter((line) => line.startsWith("| a ") || line.startsWith("| idle"))).toEqual([
    "| a flood | 100 frames, 3 times | 10.0 | 15.0 | 1.5 | 40 | 120 | 140 | 132 | 121 | held | abc |",
    "| a crowd | 100 frames | 10.0 | 15.0 | 1.5 | 40 | 120 | 140 | 132 | 121 | held; p99 held to 5,000 ms: calls | abc |",
    "| a bomb \\| two | 100 frames, 3 times | 10.0 | 15.0 | 1.5 | 40 | 120 | 140 | 132 | 121 | failed; expected 60 to be | abc |",
    "| idle |  |  |  |  |  |  |  |  |  | skipped; too few files | abc |",
  ]);
  expect(page).not.toContain("not asked for");
});

test("rows of other attacks stay, with their commits; an attack that is made again has its new figures", () => {
  const first = reportMarkdown(rows, SOURCE);
  const again: Row[] = [{ ...(rows[2] as Row), state: "passed", words: undefined }];
  const page = reportMarkdown(again, { ...SOURCE, commit: "def" }, first);
  expect(page).toMatch(/^3 of 4 held;/m);
  const table = (text: string) => text.split("\n").filter((line) => line.startsWith("| "));
  expect(table(page).filter((line) => !line.includes("bomb"))).toEqual(
    table(first).filter((line) => !line.includes("bomb")),
  );
  expect(table(page).filter((line) => line.includes("bomb"))).toEqual([
    "| a bomb \\| two | 100 frames, 3 times | 10.0 | 15.0 | 1.5 | 40 | 120 | 140 | 132 | 121 | held | def |",
  ]);
});
