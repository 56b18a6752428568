/** JSON and text as CPython 3.11 reads and writes them; python-golden.json holds what it said. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { dumps } from "../../src/rest/python-dumps.ts";
import { JsonError, loads, NO_LIMITS } from "../../src/rest/python-json.ts";
import { Float, isTruthy, repr, reprFloat, str, strip } from "../../src/rest/python-text.ts";

type Said =
  | { text: string; error: string }
  | { text: string; error?: undefined; str: string; dumps: string; indented: string; truthy: boolean };

const SAID = JSON.parse(readFileSync(new URL("python-golden.json", import.meta.url), "utf8")) as Said[];

describe("what Python says", () => {
  for (const said of SAID) {
    test(`of ${JSON.stringify(said.text)}`, () => {
      if (said.error !== undefined) {
        expect(() => loads(said.text)).toThrow(new JsonError(said.error));
        return;
      }
      const value = loads(said.text);
      expect(str(value)).toBe(said.str);
      expect(dumps(value)).toBe(said.dumps);
      expect(dumps(value, 2)).toBe(said.indented);
      expect(isTruthy(value)).toBe(said.truthy);
    });
  }
});

test("whole numbers stay exact, whatever their size", () => {
  const text = '{"a":9007199254740993,"b":-123456789012345678901234567890,"c":0}';
  expect(dumps(loads(text))).toBe(text);
  expect(dumps(loads("-0"))).toBe("0");
  expect(dumps(loads("9".repeat(5_000), NO_LIMITS))).toBe("9".repeat(5_000));
});

test("floats are written with Python's exponents", () => {
  const cases: [number, string][] = [
    [1, "1.0"],
    [-0, "-0.0"],
    [1e15, "1000000000000000.0"],
    [1e16, "1e+16"],
    [0.0001, "0.0001"],
    [0.00001, "1e-05"],
    [1.5e-7, "1.5e-07"],
    [1e100, "1e+100"],
    [5e-324, "5e-324"],
    [Number.POSITIVE_INFINITY, "inf"],
    [Number.NEGATIVE_INFINITY, "-inf"],
  ];
  for (const [value, text] of cases) expect(reprFloat(value)).toBe(text);
});

test("the last of duplicate keys counts, at the place of the first", () => {
  expect(str(loads('{"a":1,"b":2,"a":3}'))).toBe("{'a': 3, 'b': 2}");
});

test("depth is bounded where a limit is given and free where not", () => {
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  expect(() => loads(nested(1_000))).not.toThrow();
  expect(() => loads(nested(1_001))).toThrow();
  expect(() => loads("[".repeat(1_000_000))).toThrow();
  expect(dumps(loads(nested(200_000), NO_LIMITS))).toBe(nested(200_000));
});

test("strip takes Python's white space and no other", () => {
  expect(strip("\u001c\u0085\u00a0\u3000 x \u2028\t\n\u001f")).toBe("x");
  expect(strip("\ufeffx\u200b")).toBe("\ufeffx\u200b");
  expect(strip("  ")).toBe("");
});

test("what cannot be printed is escaped, the quote depends on the text", () => {
  expect(repr("it's")).toBe('"it\'s"');
  expect(repr('it\'s "x"')).toBe("'it\\'s \"x\"'");
  expect(repr("\0\x7f\u00ad\u200b\ud800\u{e0001}한 😀\\")).toBe("'\\x00\\x7f\\xad\\u200b\\ud800\\U000e0001한 😀\\\\'");
});

test("only nothing is falsy", () => {
  for (const text of ["null", "false", "0", "-0", "0.0", "-0.0", "1e-400", '""', "[]", "{}"]) {
    expect(isTruthy(loads(text))).toBe(false);
  }
  for (const text of ["true", "1", "1e400", '" "', "[0]", '{"":0}']) expect(isTruthy(loads(text))).toBe(true);
  expect(isTruthy(new Float(Number.NaN, ""))).toBe(true);
});
