/** UTF-16 and UTF-32. */
import { cannotDecode } from "./decode-error.ts";

export type Order = "le" | "be";

/** Reads UTF-16. What the end of the input cuts off is dropped, or is a fault where the input is `final`. */
export function readUtf16(bytes: Buffer, order: Order, final: boolean): string {
  const even = Buffer.from(bytes.subarray(0, bytes.length & ~1));
  let text = (order === "be" ? even.swap16() : even).toString("utf16le");
  if (/[\ud800-\udbff]$/.test(text)) text = text.slice(0, -1);
  if (!text.isWellFormed()) {
    const at = text.search(/\p{Surrogate}/u);
    const reason = text.charCodeAt(at) < 0xdc00 ? "illegal UTF-16 surrogate" : "illegal encoding";
    throw cannotDecode(`utf-16-${order}`, bytes, at * 2, 2, reason);
  }
  if (final) refuseRest(`utf-16-${order}`, bytes, text.length * 2);
  return text;
}

/** Reads UTF-32 in the same way. */
export function readUtf32(bytes: Buffer, order: Order, final: boolean): string {
  const parts: string[] = [];
  let at = 0;
  for (; at + 4 <= bytes.length; at += 4) {
    const point = order === "be" ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
    const reason = pointFault(point);
    if (reason !== undefined) throw cannotDecode(`utf-32-${order}`, bytes, at, 4, reason);
    parts.push(String.fromCodePoint(point));
  }
  if (final) refuseRest(`utf-32-${order}`, bytes, at);
  return parts.join("");
}

function refuseRest(charset: string, bytes: Buffer, from: number): void {
  if (from < bytes.length) throw cannotDecode(charset, bytes, from, bytes.length - from, "truncated data");
}

function pointFault(point: number): string | undefined {
  if (point > 0x10ffff) return "code point not in range(0x110000)";
  return point >= 0xd800 && point <= 0xdfff ? "code point in surrogate code point range(0xd800, 0xe000)" : undefined;
}

/** The order that a byte order mark names; undefined without one. */
export function orderOf(bytes: Buffer, size: 2 | 4): Order | undefined {
  if (size === 2)
    return bytes[0] === 0xff && bytes[1] === 0xfe ? "le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "be" : undefined;
  if (bytes.length < 4) return undefined;
  const mark = bytes.readUInt32LE(0);
  return mark === 0xfeff ? "le" : mark === 0xfffe0000 ? "be" : undefined;
}
