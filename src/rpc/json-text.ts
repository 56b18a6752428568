/**
 * JSON that travels as text. It goes to jsonb as it came, so what jsonb refuses, or what would grow without bound when
 * jsonb writes it out again, is found here, where the item can still be named.
 */
import { BrokerError, badField } from "../errors.ts";
import { LIMITS } from "../job/limits.ts";

/** Postgres' numeric: so many digits before the point, so many behind it. */
const NUMERIC = { before: 131_072, behind: 16_383 };

export type Flaw = "nul" | "surrogate" | "deep" | "number";

export interface Scan {
  /** The first flaw, or null. */
  flaw: Flaw | null;
  /** Characters that jsonb adds when it writes numbers out without their exponents (1e300 becomes 301 digits). */
  growth: number;
}

/**
 * Walks the text once, in linear time and without recursion, so that no input can overflow the stack. It says nothing
 * about the grammar: that is left to JSON.parse, which may run safely once the depth is known.
 */
export function scanJson(text: string, maxDepth: number = LIMITS.jsonDepth): Scan {
  if (!text.isWellFormed()) return { flaw: "surrogate", growth: 0 };
  let depth = 0;
  let growth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22 /* " */) {
      const string = scanString(text, at + 1);
      if (string.flaw !== null) return { flaw: string.flaw, growth };
      at = string.end;
    } else if (code === 0x7b /* { */ || code === 0x5b /* [ */) {
      depth++;
      if (depth > maxDepth) return { flaw: "deep", growth };
    } else if (code === 0x7d /* } */ || code === 0x5d /* ] */) {
      depth--;
    } else if (isDigit(code)) {
      const number = scanNumber(text, at);
      if (!number.fits) return { flaw: "number", growth };
      growth += number.growth;
      at = number.end;
    } else if (code === 0) {
      return { flaw: "nul", growth };
    }
  }
  return { flaw: null, growth };
}

/** From behind the opening quote to the closing one. */
function scanString(text: string, start: number): { end: number; flaw: Flaw | null } {
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22 /* " */) return { end: at, flaw: null };
    if (code === 0) return { end: at, flaw: "nul" };
    if (code !== 0x5c /* \ */) continue;
    at++;
    if (text.charCodeAt(at) !== 0x75 /* u */) continue;
    const unit = hex4(text, at + 1);
    if (unit === 0) return { end: at, flaw: "nul" };
    at += 4;
    if (unit < 0xd800 || unit > 0xdfff) continue;
    const low = text.startsWith("\\u", at + 1) ? hex4(text, at + 3) : -1;
    if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) return { end: at, flaw: "surrogate" };
    at += 6;
  }
  return { end: text.length, flaw: null };
}

/** From the first digit to the last character of the number. */
function scanNumber(text: string, start: number): { end: number; fits: boolean; growth: number } {
  let at = start;
  while (isDigit(text.charCodeAt(at))) at++;
  const before = at - start;
  let behind = 0;
  if (text.charCodeAt(at) === 0x2e /* . */) {
    const point = at++;
    while (isDigit(text.charCodeAt(at))) at++;
    behind = at - point - 1;
  }
  let exponent = 0;
  if ((text.charCodeAt(at) | 0x20) === 0x65 /* e, E */) {
    const from = ++at;
    if (text.charCodeAt(at) === 0x2b /* + */ || text.charCodeAt(at) === 0x2d /* - */) at++;
    while (isDigit(text.charCodeAt(at))) at++;
    exponent = Number(text.slice(from, at)) || 0;
  }
  const fits = before + exponent <= NUMERIC.before && behind - exponent <= NUMERIC.behind;
  return { end: at - 1, fits, growth: Math.abs(exponent) };
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Four hexadecimal digits as a number; -1 where they are none. */
function hex4(text: string, at: number): number {
  const digits = text.slice(at, at + 4);
  return /^[0-9a-f]{4}$/i.test(digits) ? Number.parseInt(digits, 16) : -1;
}

/**
 * Checks that the text is one JSON object that jsonb takes and that is no larger than `maxBytes`, and returns it parsed
 * (for a look inside: numbers past 2^53 lose digits here, never in the text). `setting` names the limit.
 */
export function jsonObject(field: string, text: string, maxBytes: number, setting: string): Record<string, unknown> {
  refuseLarge(field, Buffer.byteLength(text), maxBytes, setting, "");
  const { flaw, growth } = scanJson(text);
  if (flaw !== null) throw badField(field, FLAWS[flaw]);
  refuseLarge(field, Buffer.byteLength(text) + growth, maxBytes, setting, " once its numbers are written out");
  const value = parse(field, text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const kind = value === null ? "null" : Array.isArray(value) ? "an array" : `a ${typeof value}`;
    throw notObject(field, `must be a JSON object, got ${kind}: wrap it, for example {"value": …}`);
  }
  return value as Record<string, unknown>;
}

const FLAWS: Record<Flaw, string> = {
  nul: "holds the character U+0000, which Postgres cannot store: remove it",
  surrogate: "holds half of a surrogate pair, which is no character: send both halves or remove it",
  deep: `is nested more than ${LIMITS.jsonDepth} levels deep: flatten it`,
  number: `holds a number of more than ${NUMERIC.before} digits before or ${NUMERIC.behind} behind the point, which Postgres cannot store: send it as text`,
};

function parse(field: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw notObject(field, `must be the text of one JSON object: ${(error as Error).message}`);
  }
}

function notObject(field: string, message: string): BrokerError {
  return new BrokerError("PAYLOAD_NOT_OBJECT", `${field}: ${message}`, { field });
}

/** Refuses what is larger than the limit that `setting` names. */
export function refuseLarge(field: string, bytes: number, maxBytes: number, setting: string, how: string): void {
  if (bytes <= maxBytes) return;
  const message = `is ${bytes} bytes${how}, the limit is ${maxBytes} (${setting})`;
  const advice = "store the data elsewhere and send a reference, send fewer at once, or raise the limit";
  throw new BrokerError("PAYLOAD_TOO_LARGE", `${field}: ${message}: ${advice}`, { field });
}
