import fc from "fast-check";
import { describe, expect } from "vitest";
import { BrokerError } from "../../src/errors.ts";
import { type Flaw, jsonObject, scanJson } from "../../src/rpc/json-text.ts";
import { test } from "../support/db.ts";

const MIB = 1_048_576;
const check = (text: string, maxBytes = MIB) => jsonObject("jobs[0].payload_json", text, maxBytes, "MAX_PAYLOAD_BYTES");

function refusal(text: string, maxBytes?: number): BrokerError {
  try {
    check(text, maxBytes);
  } catch (error) {
    if (error instanceof BrokerError) return error;
    throw error;
  }
  throw new Error(`was not refused: ${text.slice(0, 80)}`);
}

describe("what is refused, and how", () => {
  test.for([
    ["[]", "PAYLOAD_NOT_OBJECT", /must be a JSON object, got an array/],
    ["null", "PAYLOAD_NOT_OBJECT", /got null/],
    ["12", "PAYLOAD_NOT_OBJECT", /got a number/],
    ['"{}"', "PAYLOAD_NOT_OBJECT", /got a string/],
    ["{'a':1}", "PAYLOAD_NOT_OBJECT", /must be the text of one JSON object/],
    ['{"a":NaN}', "PAYLOAD_NOT_OBJECT", /must be the text of one JSON object/],
    ['{"a":1}{"a":1}', "PAYLOAD_NOT_OBJECT", /must be the text of one JSON object/],
    ["\ufeff{}", "PAYLOAD_NOT_OBJECT", /must be the text of one JSON object/],
    ['{"a":"\\u0000"}', "BAD_FIELD", /U\+0000.*remove it/],
    ['{"\\u0000":1}', "BAD_FIELD", /U\+0000/],
    ['{"a":"\0"}', "BAD_FIELD", /U\+0000/],
    ['{"a":"\\\\\\u0000"}', "BAD_FIELD", /U\+0000/],
    ['{"a":"\\ud800"}', "BAD_FIELD", /half of a surrogate pair/],
    ['{"a":"\\uDC00\\uD800"}', "BAD_FIELD", /half of a surrogate pair/],
    ['{"a":"\\ud800\\n"}', "BAD_FIELD", /half of a surrogate pair/],
    ['{"a":"\ud800"}', "BAD_FIELD", /half of a surrogate pair/],
    [`{"a":${"[".repeat(64)}${"]".repeat(64)}}`, "BAD_FIELD", /nested more than 64 levels deep/],
    ['{"a":1e200000}', "BAD_FIELD", /a number of more than 131072 digits before/],
    ['{"a":-1E-16384}', "BAD_FIELD", /a number of more than/],
  ] as const)("%j", ([text, reason, message]) => {
    const error = refusal(text);
    expect([error.reason, error.field]).toEqual([reason, "jobs[0].payload_json"]);
    expect(error.message).toMatch(message);
  });

  test("a text above the limit, counted in bytes of UTF-8", () => {
    const error = refusal('{"a":"한글"}', 13);
    expect(error.reason).toBe("PAYLOAD_TOO_LARGE");
    expect(error.message).toMatch(/jobs\[0\]\.payload_json: is 14 bytes, the limit is 13 \(MAX_PAYLOAD_BYTES\)/);
    expect(check('{"a":"한글"}', 14)).toEqual({ a: "한글" });
  });

  test("a small text of numbers that jsonb would write out as gigabytes", () => {
    const bomb = `{"a":[${Array(1_000).fill("1e131071").join(",")}]}`;
    expect(refusal(bomb).message).toMatch(/is 131080\d\d\d bytes once its numbers are written out/);
  });

  test("a million brackets, without running out of stack", () => {
    expect(refusal("[".repeat(MIB)).message).toMatch(/nested more than 64/);
  });
});

test.for([
  '{"a":"\\\\u0000"}',
  '{"a":"\\\\ud800"}',
  '{"a":"\\\\\\\\u0000"}',
  '{"a":"\\uD83D\\ude00"}',
  '{"a":"😀\\u00e9\\u0001"}',
  `{"a":${"[".repeat(63)}${"]".repeat(63)}}`,
  `{"a":"${"[{".repeat(100)}"}`,
  '{"a":12345678901234567890.5e3, "b":-0, "c":1e400}',
  ' \n{"a" : [ ] }\t',
])("passes: %j", (text) => {
  expect(check(text)).toEqual(JSON.parse(text));
});

// Letters that make trouble, each raw or escaped.
const letter = fc.constantFrom("\0", "\ud800", "\udc00", "\\", '"', "u", "0", "d", "{", "[", "9", "e", "é", "😀", "\n");
const troubled = fc
  .array(fc.tuple(letter, fc.boolean()), { maxLength: 8 })
  .map((letters) =>
    letters.map(([char, raw]) => (raw && char >= " " && char !== "\\" && char !== '"' ? char : escaped(char))).join(""),
  );
const jsonText = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    troubled.map((text) => `"${text}"`),
    fc.constantFrom("null", "true", "12", "-0.5e3", "1e-7"),
    fc.array(tie("value"), { maxLength: 3 }).map((items) => `[${items.join(", ")}]`),
    fc.array(fc.tuple(troubled, tie("value")), { maxLength: 3 }).map(objectText),
  ),
})).value;

function escaped(char: string): string {
  return [...Array(char.length).keys()].map((at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, "0")}`).join("");
}

/** The numbers keep the keys apart: of a key that is given twice the parsed value would show the last only. */
function objectText(entries: [string, string][]): string {
  return `{${entries.map(([key, value], at) => `"${at}${key}":${value}`).join(",")}}`;
}

/** What the scan is to find, the slow way: by looking at the parsed value. */
function flawsOf(text: string, maxDepth: number): Set<Flaw> {
  const flaws = new Set<Flaw>();
  const look = (value: unknown, depth: number): void => {
    if (typeof value === "string") {
      if (value.includes("\0")) flaws.add("nul");
      if (!value.isWellFormed()) flaws.add("surrogate");
    } else if (typeof value === "object" && value !== null) {
      if (depth > maxDepth) flaws.add("deep");
      for (const part of Array.isArray(value) ? value : Object.entries(value).flat()) look(part, depth + 1);
    }
  };
  look(JSON.parse(text), 1);
  if (!text.isWellFormed()) flaws.add("surrogate");
  return flaws;
}

test("the scan agrees with a look at the parsed value", () => {
  fc.assert(
    fc.property(jsonText, (text) => {
      const flaws = flawsOf(text, 3);
      const { flaw } = scanJson(text, 3);
      expect(flaws.size === 0 ? flaw === null : flaws.has(flaw as Flaw)).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});

test("whatever comes, nothing but a BrokerError is thrown", () => {
  const garbage = fc.oneof(
    fc.string({ unit: "binary" }),
    fc
      .array(fc.constantFrom("{", "}", "[", '"', "\\u", "\\", "d800", "1e9", "-", ".", ":", ",", "\0", "\udc00", "nul"))
      .map((a) => a.join("")),
    jsonText.map((text) => text.slice(0, -1)),
  );
  fc.assert(
    fc.property(garbage, (text) => {
      try {
        check(text, 200);
      } catch (error) {
        expect(error).toBeInstanceOf(BrokerError);
      }
    }),
    { numRuns: 3_000 },
  );
});

/**
 * JSON.parse with each escaped quote, backslash and control character in a plainer form: Node 26.10 (V8 14.6) reads an
 * escaped key wrongly after another one at its place, `{"x":1,"\\\\":2}` then `{"x":1,"\\"":2}` (docs/decisions/007).
 */
function unescaped(text: string): unknown {
  return JSON.parse(text.replace(/\\(?:u[0-9a-f]{4}|.)/gi, (one) => `<${Buffer.from(one).toString("hex")}>`));
}

describe("what passes, Postgres stores and gives back", () => {
  test("any object", async ({ db }) => {
    const object = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 6 }));
    await fc.assert(
      fc.asyncProperty(object, async (value) => {
        const text = JSON.stringify(value);
        check(text);
        const [row] = await db.sql<{ stored: string }[]>`SELECT ${text}::text::jsonb::text AS stored`;
        expect(unescaped(row?.stored ?? "")).toEqual(unescaped(text));
      }),
      { numRuns: 150 },
    );
  });

  test("any text of the scan's own tests that is an object", async ({ db }) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(troubled, jsonText), { maxLength: 4 }).map(objectText), async (text) => {
        if (scanJson(text).flaw !== null) return;
        await db.sql`SELECT ${text}::text::jsonb`;
      }),
      { numRuns: 150 },
    );
  });

  test.for([
    "1e131071",
    "9.99e131071",
    "1e-16383",
    "0.1e-16382",
    "12.5e-16382",
    `${"9".repeat(131_072)}`,
    `0.${"9".repeat(16_383)}`,
    "0e131071",
    "1e0",
  ])("the number %s", async (number, { db }) => {
    const text = `{"a":${number}}`;
    expect(() => check(text)).not.toThrow();
    await expect(db.sql`SELECT ${text}::text::jsonb`).resolves.toHaveLength(1);
  });

  test.for(["1e131072", "1e-16384", `${"9".repeat(131_073)}`, `0.${"9".repeat(16_384)}`, "1e99999999999"])(
    "but not the number %s, which both refuse",
    async (number, { db }) => {
      const text = `{"a":${number}}`;
      expect(refusal(text).reason).toBe("BAD_FIELD");
      await expect(db.sql`SELECT ${text}::text::jsonb`).rejects.toThrow(/overflow|out of range|invalid input/);
    },
  );
});
