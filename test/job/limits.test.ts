import { expect, test } from "vitest";
import { cut } from "../../src/job/limits.ts";

test("cuts by code points, never through a surrogate pair", () => {
  expect(cut("a😀b😀c", 4)).toBe("a😀b😀");
  expect(cut("가나다", 2)).toBe("가나");
});

test("leaves a text alone that fits", () => {
  expect(cut("😀".repeat(5_000), 5_000)).toBe("😀".repeat(5_000));
  expect(cut("", 0)).toBe("");
});
