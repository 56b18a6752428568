/** UTF-8 with Python's words for what is wrong. */
import { isUtf8 } from "node:buffer";
import { cannotDecode } from "./decode-error.ts";

/**
 * Strict. Unless `final`, a character that the end of the input cuts off is dropped without a word, as by the stream
 * reader of the original.
 */
export function readUtf8(bytes: Buffer, final: boolean): string {
  if (isUtf8(bytes)) return bytes.toString("utf8");
  const end = firstFault(bytes, final);
  return bytes.subarray(0, end).toString("utf8");
}

/** Where the cut-off character begins; throws at the first real fault. */
function firstFault(bytes: Buffer, final: boolean): number {
  let at = 0;
  while (at < bytes.length) {
    const lead = bytes[at] as number;
    const size = sizeOf(lead);
    if (size === 0) throw cannotDecode("utf-8", bytes, at, 1, "invalid start byte");
    const good = goodBytes(bytes, at, lead, size);
    if (good < size) {
      const ended = at + good === bytes.length || isCutSurrogate(bytes, at);
      if (ended && !final) return at;
      const reason = ended ? "unexpected end of data" : "invalid continuation byte";
      throw cannotDecode("utf-8", bytes, at, good, reason);
    }
    at += size;
  }
  return at;
}

/** Bytes of the character that this one leads, 0 where it leads none. */
function sizeOf(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** How many of the character's bytes are right, the lead included. */
function goodBytes(bytes: Buffer, at: number, lead: number, size: number): number {
  let good = 1;
  while (good < size) {
    const byte = bytes[at + good];
    if (byte === undefined || byte < 0x80 || byte > 0xbf) break;
    if (good === 1) {
      if ((lead === 0xe0 && byte < 0xa0) || (lead === 0xed && byte > 0x9f)) break;
      if ((lead === 0xf0 && byte < 0x90) || (lead === 0xf4 && byte > 0x8f)) break;
    }
    good++;
  }
  return good;
}

/** The first two bytes of an encoded surrogate at the very end count as cut off, too. */
function isCutSurrogate(bytes: Buffer, at: number): boolean {
  return bytes[at] === 0xed && at + 2 === bytes.length && ((bytes[at + 1] as number) & 0xe0) === 0xa0;
}
