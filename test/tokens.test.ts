import { expect, test } from "vitest";
import { createTokens } from "../src/tokens.ts";

test("any token of the list opens, whatever its place or length", () => {
  const tokens = createTokens(["first", "a much longer second token", "한글"]);
  expect(tokens.configured).toBe(true);
  expect(["first", "a much longer second token", "한글"].map(tokens.matches)).toEqual([true, true, true]);
});

test("anything else opens nothing, a part and an absent token among it", () => {
  const tokens = createTokens(["first", "second"]);
  const tried = [undefined, "", "firs", "first ", "FIRST", "first,second", "third"];
  expect(tried.map(tokens.matches)).toEqual(tried.map(() => false));
});

test("a list without a token is closed, also to the empty token", () => {
  for (const list of [[], [""], ["", ""]]) {
    const tokens = createTokens(list);
    expect([tokens.configured, tokens.matches(""), tokens.matches(undefined)]).toEqual([false, false, false]);
  }
});
