import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { oneLine, shorten, table, widthOf } from "../../src/cli/text.ts";
import { ago, parseDurationMs, parseTime } from "../../src/cli/time.ts";
import { shortDuration } from "../../src/short-duration.ts";

const NOW = Date.parse("2026-01-31T09:00:00Z");

describe("tables", () => {
  test("columns stand straight beside Korean, which is twice as wide", () => {
    expect(widthOf("시험지 3")).toBe(8);
    expect(
      table(
        ["NAME", "N"],
        [
          ["시험", "10"],
          ["ab", "9"],
        ],
      ),
    ).toBe("NAME   N\n시험  10\nab     9");
  });

  test("a row is cut at the terminal's width, between characters", () => {
    expect(shorten("시험지", 5)).toBe("시험…");
    expect(table(["ID", "ERROR"], [["1", "much too long"]], 10)).toBe("ID  ERROR\n 1  much …");
  });

  test("control characters and line breaks do not reach the terminal", () => {
    expect(oneLine("a\n\tb\u001b[2Jc\u202ed")).toBe("a b\u{fffd}[2Jc\u{fffd}d");
  });
});

describe("durations and times", () => {
  test.each([
    ["90", 90_000],
    ["500ms", 500],
    ["1.5s", 1500],
    ["2m", 120_000],
    ["1h", 3_600_000],
    ["3d", 259_200_000],
  ])("%s", (given, ms) => {
    expect(parseDurationMs(given)).toBe(ms);
  });

  test.each(["", "1w", "-1s", "1h30m", "∞"])("%j is no duration", (given) => {
    expect(() => parseDurationMs(given)).toThrow("Give a duration");
  });

  test.each([
    ["2026-01-31T18:00:00+09:00", NOW],
    ["2026-01-31T09:00Z", NOW],
    ["+10m", NOW + 600_000],
    ["-1h", NOW - 3_600_000],
  ])("%s", (given, ms) => {
    expect(parseTime(given, NOW).getTime()).toBe(ms);
  });

  test.each(["2026-01-31", "2026-01-31T09:00:00", "tomorrow", "2026-13-31T09:00:00Z", ""])("%j is no time", (given) => {
    expect(() => parseTime(given, NOW)).toThrow("Give a time");
  });

  test.each([
    [850, "850ms"],
    [119_000, "119s"],
    [120_000, "2m"],
    [7_200_000, "2h"],
    [172_800_000, "2d"],
  ])("%i ms is %s", (ms, words) => {
    expect(shortDuration(ms)).toBe(words);
  });

  test("the past, the future, and no time at all", () => {
    const at = (ms: number) => timestampFromDate(new Date(NOW + ms));
    expect([ago(at(-5000), NOW), ago(at(600_000), NOW), ago(undefined, NOW)]).toEqual(["5s ago", "in 10m", ""]);
  });
});
