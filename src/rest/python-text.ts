/** Values as Python holds and writes them: the original compares and stores their text. */

/** A number with a point or an exponent; whole numbers are `number` up to 2^53 and `bigint` above. */
export class Float {
  /** Infinite where the text is out of range. */
  readonly value: number;
  readonly text: string;
  constructor(value: number, text: string) {
    this.value = value;
    this.text = text;
  }
}

export type PyValue = null | boolean | number | bigint | string | Float | PyValue[] | Map<string, PyValue>;

// biome-ignore lint/suspicious/noControlCharactersInRegex: to Python some of them are white space.
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/** str.strip(): Python's white space, which is not JavaScript's. */
export function strip(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && SPACE.test(text.charAt(start))) start++;
  while (end > start && SPACE.test(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}

/** bool(). */
export function isTruthy(value: PyValue): boolean {
  if (value instanceof Float) return value.value !== 0;
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Map) return value.size > 0;
  return Boolean(value);
}

/** str(). */
export function str(value: PyValue): string {
  return typeof value === "string" ? value : repr(value);
}

/** repr(). */
export function repr(value: PyValue): string {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return reprText(value);
  if (value instanceof Float) return reprFloat(value.value);
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
  if (value instanceof Map) return `{${Array.from(value, ([k, v]) => `${reprText(k)}: ${repr(v)}`).join(", ")}}`;
  return String(value);
}

/** The shortest digits that read back as the same number, with an exponent below 1e-4 and from 1e16. */
export function reprFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 1e16) return Number.isInteger(value) ? `${value}.0` : String(value);
  const [digits, exponent = ""] = value.toExponential().split("e");
  const sign = exponent.startsWith("-") ? "-" : "+";
  return `${digits}e${sign}${exponent.replace(/^[+-]/, "").padStart(2, "0")}`;
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}]/u;
const ESCAPED = new RegExp(`[\\\\']|(?! )${UNPRINTABLE.source}`, "gu");
const NAMED: Record<string, string> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** str.isprintable() of one character. */
export function isPrintable(char: string): boolean {
  return char === " " || !UNPRINTABLE.test(char);
}

function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const apostrophe = quote === "'" ? "\\'" : "'";
  const written = (char: string) => (char === "'" ? apostrophe : (NAMED[char] ?? escapeChar(char)));
  return quote + text.replace(ESCAPED, written) + quote;
}

function escapeChar(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code <= 0xff) return `\\x${hex.padStart(2, "0")}`;
  return code <= 0xffff ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}
