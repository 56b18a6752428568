/** Messages as JSON texts, by their descriptors: what fits mostly, and anything else in between. */
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import fc from "fast-check";
import { integer, isText, type Known, ODD_TEXTS, someFields, textFor } from "./fuzz-values.ts";

const deep = (open: string, close: string, levels: number) => `${open.repeat(levels)}${close.repeat(levels)}`;

const DURATION = "google.protobuf.Duration";
const TIMESTAMP = "google.protobuf.Timestamp";
/** Messages that JSON has a text of its own for, without fields. */
export const AS_TEXT: readonly string[] = [DURATION, TIMESTAMP];

/** What may stand anywhere in place of a value. Some of it is no JSON. */
const ODD_VALUES: readonly string[] = [
  "null",
  "true",
  "0",
  "-0",
  "1.5",
  "1e400",
  "-1e400",
  "1e308",
  "5e-324",
  "9007199254740993",
  "9223372036854775808",
  "9".repeat(400),
  '"9"',
  '"1e3"',
  '"Infinity"',
  '"\\u0000"',
  '"\\ud800"',
  '"\\ud800\\u0041"',
  "[]",
  "{}",
  "[null]",
  "[[]]",
  '{"__proto__":{"polluted":true}}',
  '{"constructor":{"prototype":{"polluted":true}}}',
  '{"toString":1}',
  deep("[", "]", 200),
  deep("[", "]", 20_000),
  deep('{"a":', "", 500),
  "NaN",
  "undefined",
  "'x'",
  "",
  "//",
  '"\x01"',
  '"0001-01-01T00:00:00Z"',
  '"9999-12-31T23:59:59.999999999Z"',
  '"10000-01-01T00:00:00Z"',
  '"-1s"',
  '"315576000001s"',
  '"0.0000000001s"',
];

const ODD_KEYS: readonly string[] = ["__proto__", "constructor", "hasOwnProperty", "", "\0", "\ud800", "nope", "@type"];

/** The text of a request; now and then it is not a whole object. */
export function jsonRequest(message: DescMessage, known: Known): fc.Arbitrary<string> {
  return fc.oneof(
    { arbitrary: messageText(message, known), weight: 20 },
    { arbitrary: fc.constantFrom(...ODD_VALUES), weight: 1 },
    { arbitrary: messageText(message, known).map((text) => text.slice(0, Math.floor(text.length / 2))), weight: 1 },
  );
}

function messageText(message: DescMessage, known: Known, depth = 0): fc.Arbitrary<string> {
  const pairs = someFields(message, known, "json").chain((fields) =>
    fc.tuple(...fields.map((field) => pairText(field, known, depth))),
  );
  const odd = fc
    .tuple(fc.constantFrom(...ODD_KEYS), fc.constantFrom(...ODD_VALUES))
    .map(([key, value]) => [`${JSON.stringify(key)}:${value}`]);
  const more = fc.oneof({ arbitrary: fc.constant<string[]>([]), weight: 30 }, { arbitrary: odd, weight: 1 });
  return fc.tuple(pairs, more).map(([all, rest]) => `{${[...all, ...rest].join(",")}}`);
}

function pairText(field: DescField, known: Known, depth: number): fc.Arbitrary<string> {
  const key = fc.oneof(
    { arbitrary: fc.constant(field.jsonName), weight: 5 },
    { arbitrary: fc.constant(field.name), weight: 1 },
  );
  const value = fc.oneof(
    { arbitrary: fittingText(field, known, depth), weight: 30 },
    { arbitrary: fc.constantFrom(...ODD_VALUES), weight: 1 },
  );
  return fc.tuple(key, value).map(([name, text]) => `${JSON.stringify(name)}:${text}`);
}

function fittingText(field: DescField, known: Known, depth: number): fc.Arbitrary<string> {
  const one = fc.oneof(
    { arbitrary: singleText(field, known, depth), weight: 30 },
    { arbitrary: fc.constantFrom(...ODD_VALUES), weight: 1 },
  );
  if (field.fieldKind === "list") return fc.array(one, { maxLength: 3 }).map((all) => `[${all.join(",")}]`);
  if (field.fieldKind === "map") {
    const entry = fc.tuple(fc.constantFrom("ocr", "fuzz", ...ODD_TEXTS), integer);
    const text = entry.map(([key, number]) => `${JSON.stringify(key)}:${number}`);
    return fc.array(text, { maxLength: 3 }).map((all) => `{${all.join(",")}}`);
  }
  return one;
}

function singleText(field: DescField, known: Known, depth: number): fc.Arbitrary<string> {
  if (field.message !== undefined) {
    switch (field.message.typeName) {
      case DURATION:
        return fc.constantFrom('"0s"', '"0.001s"', '"0.05s"', '"-1s"', '"1s"', '"86400s"', '"315576000000s"', '"1"');
      case TIMESTAMP:
        return fc.constantFrom('"2026-01-02T03:04:05Z"', '"1970-01-01T00:00:00Z"', '"9999-12-31T23:59:59Z"', '"now"');
      default:
        return depth > 4 ? fc.constant("{}") : messageText(field.message, known, depth + 1);
    }
  }
  if (field.enum !== undefined) {
    return fc.constantFrom(
      ...field.enum.values.flatMap(({ name, number }) => [JSON.stringify(name), `${number}`]),
      "99",
    );
  }
  if (isText(field)) return textFor(field, known).map((text) => JSON.stringify(text));
  return fc.oneof(
    integer.map(String),
    integer.map((number) => `"${number}"`),
    fc.boolean().map(String),
  );
}
