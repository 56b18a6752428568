/**
 * JSON as Python's json module reads it: its error texts, the last of duplicate keys, whole numbers of any size. Walks
 * with a stack of its own, so that depth costs memory that was sent, never the process.
 */
import { Float, type PyValue } from "./python-text.ts";

/** The text is no JSON; the message is Python's. */
export class JsonError extends Error {
  override readonly name = "JsonError";
}

/** The text is nested deeper than the caller allows. */
export class TooDeep extends Error {
  override readonly name = "TooDeep";
}

export interface JsonLimits {
  /** Arrays and objects inside one another. */
  depth: number;
  /** Digits of a whole number. */
  digits: number;
}

/** What Python takes of an unknown sender: its digit limit, and about the depth at which its parser gives up. */
export const PYTHON_LIMITS: JsonLimits = { depth: 1_000, digits: 4_300 };
/** For text that the database wrote. */
export const NO_LIMITS: JsonLimits = { depth: Number.POSITIVE_INFINITY, digits: Number.POSITIVE_INFINITY };

/** json.loads() with NaN and the infinities refused. Throws JsonError or TooDeep. */
export function loads(text: string, limits: JsonLimits = PYTHON_LIMITS): PyValue {
  if (text.startsWith("\ufeff")) throw fault("Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0);
  const reader = new Reader(text, limits);
  reader.skipSpace();
  const value = readValue(reader);
  reader.skipSpace();
  if (reader.at !== text.length) throw fault("Extra data", text, reader.at);
  return value;
}

/** A container that is not closed yet; `key` waits for its value. */
type Open = { list: PyValue[]; map?: undefined } | { list?: undefined; map: Map<string, PyValue>; key: string };

function readValue(reader: Reader): PyValue {
  const open: Open[] = [];
  for (;;) {
    let value: PyValue;
    if (reader.take("{")) {
      if (open.length >= reader.limits.depth) throw new TooDeep();
      reader.skipSpace();
      value = new Map();
      if (!reader.take("}")) {
        open.push({ map: value, key: reader.key() });
        continue;
      }
    } else if (reader.take("[")) {
      if (open.length >= reader.limits.depth) throw new TooDeep();
      reader.skipSpace();
      value = [];
      if (!reader.take("]")) {
        open.push({ list: value });
        continue;
      }
    } else value = reader.scalar();

    const done = close(reader, open, value);
    if (done !== undefined) return done;
  }
}

/** Puts the value where it belongs and closes what ends behind it. Undefined: another value follows. */
function close(reader: Reader, open: Open[], value: PyValue): PyValue | undefined {
  let whole = value;
  for (;;) {
    const top = open.at(-1);
    if (top === undefined) return whole;
    if (top.map !== undefined) top.map.set(top.key, whole);
    else top.list.push(whole);
    reader.skipSpace();
    if (reader.take(top.map === undefined ? "]" : "}")) {
      whole = top.map ?? top.list;
      open.pop();
      continue;
    }
    if (!reader.take(",")) throw fault("Expecting ',' delimiter", reader.text, reader.at);
    reader.skipSpace();
    if (top.map !== undefined) top.key = reader.key();
    return undefined;
  }
}

const SPACES = /[ \t\n\r]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: raw control characters are what is looked for.
const PLAIN = /[^"\\\x00-\x1f]*/y;
const NUMBER = /(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const WORD = /null|true|false|NaN|-?Infinity/y;
const WORDS: Record<string, PyValue> = { null: null, true: true, false: false };
const ESCAPES: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

class Reader {
  readonly text: string;
  readonly limits: JsonLimits;
  at = 0;

  constructor(text: string, limits: JsonLimits) {
    this.text = text;
    this.limits = limits;
  }

  skipSpace(): void {
    SPACES.lastIndex = this.at;
    SPACES.test(this.text);
    this.at = SPACES.lastIndex;
  }

  take(char: string): boolean {
    if (this.text[this.at] !== char) return false;
    this.at++;
    return true;
  }

  /** A key, its colon and the space around it. */
  key(): string {
    if (!this.take('"')) throw fault("Expecting property name enclosed in double quotes", this.text, this.at);
    const key = this.string();
    this.skipSpace();
    if (!this.take(":")) throw fault("Expecting ':' delimiter", this.text, this.at);
    this.skipSpace();
    return key;
  }

  scalar(): PyValue {
    if (this.take('"')) return this.string();
    NUMBER.lastIndex = this.at;
    const number = NUMBER.exec(this.text);
    if (number === null) return this.word();
    this.at = NUMBER.lastIndex;
    const [all, whole = "", fraction, exponent] = number;
    if (fraction !== undefined || exponent !== undefined) return new Float(Number(all), all);
    return toInt(whole, this.limits.digits);
  }

  private word(): PyValue {
    WORD.lastIndex = this.at;
    const word = WORD.exec(this.text)?.[0];
    if (word === undefined) throw fault("Expecting value", this.text, this.at);
    const value = WORDS[word];
    if (value === undefined) throw new JsonError(`Out of range float values are not JSON compliant: '${word}'`);
    this.at += word.length;
    return value;
  }

  /** From behind the opening quote. */
  string(): string {
    const { text } = this;
    const begin = this.at - 1;
    let value = "";
    for (;;) {
      PLAIN.lastIndex = this.at;
      PLAIN.test(text);
      const end = PLAIN.lastIndex;
      value += text.slice(this.at, end);
      this.at = end + 1;
      const char = text[end];
      if (char === '"') return value;
      if (char === undefined) throw fault("Unterminated string starting at", text, begin);
      if (char !== "\\") throw fault("Invalid control character at", text, end);
      const letter = text[this.at];
      if (letter === undefined) throw fault("Unterminated string starting at", text, begin);
      value += letter === "u" ? this.unicode() : (ESCAPES[letter] ?? this.badEscape(end));
      this.at++;
    }
  }

  /** At the u of \uXXXX; leaves at the last digit. Half pairs that belong together join by themselves. */
  private unicode(): string {
    const hex = this.text.slice(this.at + 1, this.at + 5);
    // Python wants a character behind the digits, too.
    if (!/^[0-9a-fA-F]{4}$/.test(hex) || this.at + 5 >= this.text.length) {
      throw fault("Invalid \\uXXXX escape", this.text, this.at);
    }
    this.at += 4;
    return String.fromCharCode(Number.parseInt(hex, 16));
  }

  private badEscape(at: number): never {
    throw fault("Invalid \\escape", this.text, at);
  }
}

function toInt(digits: string, maxDigits: number): number | bigint {
  const count = digits.startsWith("-") ? digits.length - 1 : digits.length;
  if (count > maxDigits) {
    throw new JsonError(
      `Exceeds the limit (${maxDigits} digits) for integer string conversion: value has ${count} digits; use sys.set_int_max_str_digits() to increase the limit`,
    );
  }
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value + 0 : BigInt(digits);
}

/** Positions count code points, lines from 1. */
function fault(message: string, text: string, at: number): JsonError {
  const before = text.slice(0, at);
  const lines = before.split("\n");
  const column = points(lines.at(-1) ?? "") + 1;
  return new JsonError(`${message}: line ${lines.length} column ${column} (char ${points(before)})`);
}

function points(text: string): number {
  let count = text.length;
  for (let at = 0; at < text.length; at++) if ((text.codePointAt(at) ?? 0) > 0xffff) count--;
  return count;
}
