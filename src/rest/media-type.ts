/** Media types and their parameters, read as Django and its REST framework read them (they know no q value). */
import { strip } from "./python-text.ts";

export interface MediaType {
  /** Lower case, trimmed, without parameters. */
  full: string;
  main: string;
  sub: string;
  params: Map<string, string>;
}

/** Reads a Content-Type-like header. Never fails: what is malformed becomes a type that matches nothing. */
export function parseMediaType(header: string): MediaType {
  const { value, params } = parseHeader(header);
  const slash = value.indexOf("/");
  const main = slash < 0 ? value : value.slice(0, slash);
  return { full: value, main, sub: slash < 0 ? "" : value.slice(slash + 1), params };
}

/** Reads `value; name=value; …`. A repeated name: the last. Backslashes and quotes as in Django's reading of RFC 2231. */
export function parseHeader(header: string): { value: string; params: Map<string, string> } {
  const [first = "", ...rest] = splitOutsideQuotes(header);
  const params = new Map<string, string>();
  for (const part of rest) {
    const equals = part.indexOf("=");
    if (equals < 0) continue;
    let name = strip(part.slice(0, equals)).toLowerCase();
    let value = strip(part.slice(equals + 1));
    if (value.length >= 2 && value.startsWith('"') && value.endsWith('"')) {
      value = value.slice(1, -1).replaceAll("\\\\", "\\").replaceAll('\\"', '"');
    }
    if (name.endsWith("*")) {
      name = name.slice(0, -1);
      value = decodeExtended(value);
    }
    params.set(name, value);
  }
  return { value: strip(first).toLowerCase(), params };
}

/** Whether a type that we read or write fits one that the client named, which may have wildcards in either half. */
export function fits(ours: string, theirs: MediaType): boolean {
  const [main = "", sub = ""] = ours.split("/");
  return (theirs.sub === "*" || theirs.sub === sub) && (theirs.main === "*" || theirs.main === main);
}

/** 0 for any type, 1 for any subtype, 2 for one type, 3 for one with parameters. */
export function precedence(type: MediaType): number {
  if (type.main === "*") return 0;
  if (type.sub === "*") return 1;
  return type.params.size === 0 || (type.params.size === 1 && type.params.has("q")) ? 2 : 3;
}

function splitOutsideQuotes(header: string): string[] {
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  for (let at = 0; at < header.length; at++) {
    const char = header[at];
    if (char === '"' && (at === start || header[at - 1] !== "\\")) quoted = !quoted;
    else if (char === ";" && !quoted) {
      parts.push(header.slice(start, at));
      start = at + 1;
      quoted = false;
    }
  }
  parts.push(header.slice(start));
  return parts.map(strip);
}

/** `UTF-8''%ED%95%9C`. */
function decodeExtended(value: string): string {
  const [, , text, ...more] = value.split("'");
  if (text === undefined || more.length > 0) return value;
  const bytes = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString("utf8");
}
