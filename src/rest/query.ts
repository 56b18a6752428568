/** `a=b&c=d`, as a query string and as a form's body, read as Django reads it. */
import { type Charset, readLoosely } from "./charset.ts";
import { DecodeError } from "./decode-error.ts";
import { Refusal } from "./refusal.ts";

/** Django's DATA_UPLOAD_MAX_NUMBER_FIELDS. */
export const MAX_FIELDS = 1_000;

/** The fields, of a repeated one the last value. Throws 400 for more than 1,000. */
export function parseQuery(text: string, charset: Charset): Map<string, string> {
  const pieces = text.split("&", MAX_FIELDS + 1);
  if (pieces.length > MAX_FIELDS) throw new Refusal(400, `more than ${MAX_FIELDS} fields: send fewer`);
  const fields = new Map<string, string>();
  for (const piece of pieces) {
    if (piece === "") continue;
    const equals = piece.indexOf("=");
    const name = equals < 0 ? piece : piece.slice(0, equals);
    fields.set(unquote(name, charset), equals < 0 ? "" : unquote(piece.slice(equals + 1), charset));
  }
  return fields;
}

/** A form's body. Bytes that are not of its charset are taken for Latin-1. */
export function parseForm(body: Buffer, charset: Charset): Map<string, string> {
  return parseQuery(decodeForm(body, charset), charset);
}

function decodeForm(body: Buffer, charset: Charset): string {
  try {
    return charset.read(body, true);
  } catch (err) {
    if (err instanceof DecodeError) return body.toString("latin1");
    throw err;
  }
}

/** Characters that are no ASCII stay as they are; the runs between them are decoded each by itself. */
function unquote(text: string, charset: Charset): string {
  const spaced = text.replaceAll("+", " ");
  if (!spaced.includes("%")) return spaced;
  return spaced.replace(/[\0-\x7f]+/g, (run) => {
    const bytes = run.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    return readLoosely(charset, Buffer.from(bytes, "latin1"));
  });
}
