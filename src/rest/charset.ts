/** The charset of a request's body, by the names that Python knows, decoded with Python's rules. */
import { labelOf, NOT_ASCII, PYTHON_ONLY, pythonName } from "./charset-names.ts";
import { cannotDecode, DecodeError } from "./decode-error.ts";
import { readUtf8 } from "./utf8.ts";
import { type Order, orderOf, readUtf16, readUtf32 } from "./wide-text.ts";

export interface Charset {
  /**
   * Strict; throws DecodeError. Unless `final`, a character that the end of the input cuts off is dropped, as by the
   * stream reader of the original.
   */
  read(bytes: Buffer, final: boolean): string;
}

/** The body's charset is one that Python has and this broker has not. */
export class UnknownCharset extends Error {
  override readonly name = "UnknownCharset";
}

const UTF8: Charset = { read: readUtf8 };

const BUILT_IN: Record<string, Charset> = {
  utf_8: UTF8,
  utf_8_sig: {
    read: (bytes, final) =>
      readUtf8(bytes.subarray(0, 3).toString("hex") === "efbbbf" ? bytes.subarray(3) : bytes, final),
  },
  ascii: {
    read(bytes) {
      const at = bytes.findIndex((byte) => byte > 0x7f);
      if (at >= 0) throw cannotDecode("ascii", bytes, at, 1, "ordinal not in range(128)");
      return bytes.toString("latin1");
    },
  },
  latin_1: { read: (bytes) => bytes.toString("latin1") },
  utf_16: { read: (bytes, final) => readMarked(bytes, 2, readUtf16, final) },
  utf_16_le: { read: (bytes, final) => readUtf16(bytes, "le", final) },
  utf_16_be: { read: (bytes, final) => readUtf16(bytes, "be", final) },
  utf_32: { read: (bytes, final) => readMarked(bytes, 4, readUtf32, final) },
  utf_32_le: { read: (bytes, final) => readUtf32(bytes, "le", final) },
  utf_32_be: { read: (bytes, final) => readUtf32(bytes, "be", final) },
};

/** The charset of that name; UTF-8 for none and for a name that Python does not know. */
export function charsetOf(name: string | undefined): Charset {
  if (name === undefined) return UTF8;
  const python = pythonName(name);
  const builtIn = Object.hasOwn(BUILT_IN, python) ? BUILT_IN[python] : undefined;
  if (builtIn !== undefined) return builtIn;
  const label = labelOf(python);
  if (label !== undefined) return decoded(python, label);
  return PYTHON_ONLY.test(python) ? asciiOf(python, name) : UTF8;
}

/** The same with U+FFFD for what is wrong. */
export function readLoosely(charset: Charset, bytes: Buffer): string {
  if (charset === UTF8) return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  try {
    return charset.read(bytes, true);
  } catch {
    return bytes.toString("latin1").replace(/[^\0-\x7f]/g, "\ufffd");
  }
}

function readMarked(
  bytes: Buffer,
  size: 2 | 4,
  read: (bytes: Buffer, order: Order, final: boolean) => string,
  final: boolean,
): string {
  const order = orderOf(bytes, size);
  if (order !== undefined) return read(bytes.subarray(size), order, final);
  // Read first, since what is no character at all is found before the mark is missed.
  const text = read(bytes, "le", final);
  if (final || bytes.length < size) return text;
  throw new DecodeError(`UTF-${size * 8} stream does not start with BOM`);
}

/** Charsets that only Python has: most are ASCII in their lower half, and most bodies need no more. */
function asciiOf(python: string, name: string): Charset {
  return {
    read(bytes) {
      const text = bytes.toString("latin1");
      if (NOT_ASCII.test(python) || /[^\0-\x7f]/.test(text) || /[+~\\]/.test(text)) throw new UnknownCharset(name);
      return text;
    },
  };
}

/** Charsets whose tables come with Node. */
function decoded(python: string, label: string): Charset {
  const isTable = /^(windows|iso-8859|ibm|koi8|macintosh|x-mac)/.test(label);
  return {
    read(bytes) {
      let text: string;
      try {
        text = new TextDecoder(label, { fatal: true }).decode(bytes);
      } catch {
        return refuseBytes(python, label, isTable, bytes);
      }
      // Web browsers read the holes of these tables as control characters, Python does not.
      const hole = label.startsWith("windows") ? text.search(/[\x80-\x9f]/) : -1;
      if (hole >= 0) throw cannotDecode("charmap", bytes, hole, 1, "character maps to <undefined>");
      return text;
    },
  };
}

function refuseBytes(python: string, label: string, isTable: boolean, bytes: Buffer): never {
  const [at, reason] = isTable ? firstUnmapped(label, bytes) : firstIllegal(label, bytes);
  throw cannotDecode(isTable ? "charmap" : python, bytes, at, 1, reason);
}

function firstUnmapped(label: string, bytes: Buffer): [number, string] {
  const loose = new TextDecoder(label).decode(bytes);
  return [Math.max(0, loose.indexOf("\ufffd")), "character maps to <undefined>"];
}

/** Byte by byte: the decoder tells that something is wrong, but not where. */
function firstIllegal(label: string, bytes: Buffer): [number, string] {
  const decoder = new TextDecoder(label, { fatal: true });
  let start = 0;
  for (let at = 0; at < bytes.length; at++) {
    try {
      if (decoder.decode(bytes.subarray(at, at + 1), { stream: true }) !== "") start = at + 1;
    } catch {
      return [start, "illegal multibyte sequence"];
    }
  }
  return [start, "incomplete multibyte sequence"];
}
