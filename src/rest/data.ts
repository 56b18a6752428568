/** What a worker sent: the body by its type, as the fields that the original sees. */
import { charsetOf, UnknownCharset } from "./charset.ts";
import { DecodeError } from "./decode-error.ts";
import { FORM_TYPE, MULTIPART_TYPE } from "./endpoints.ts";
import { fits, type MediaType, parseMediaType } from "./media-type.ts";
import { parseMultipart } from "./multipart.ts";
import { JSON_TYPE } from "./negotiate.ts";
import { JsonError, loads, PYTHON_LIMITS, TooDeep } from "./python-json.ts";
import type { PyValue } from "./python-text.ts";
import { parseForm } from "./query.ts";
import { Refusal } from "./refusal.ts";

export type Fields = ReadonlyMap<string, PyValue>;

export type BodyReader = (body: Buffer) => Fields;

/** The reader for a Content-Type. Throws Refusal 415 where there is none; the reader itself throws Refusal 400. */
export function readerOf(contentType: string): BodyReader {
  const type = parseMediaType(contentType);
  const read = [JSON_TYPE, FORM_TYPE, MULTIPART_TYPE].find((ours) => fits(ours, type));
  if (read === undefined) throw new Refusal(415, `Unsupported media type "${contentType}" in request.`);
  return (body) => {
    try {
      const charset = charsetOf(type.params.get("charset"));
      if (read === FORM_TYPE) return parseForm(body, charset);
      if (read === MULTIPART_TYPE) return parseMultipart(body, contentType, charset);
      const value = loads(charset.read(body, false));
      return value instanceof Map ? value : new Map();
    } catch (err) {
      throw refusalOf(err, type);
    }
  };
}

function refusalOf(err: unknown, type: MediaType): unknown {
  if (err instanceof JsonError || err instanceof DecodeError)
    return new Refusal(400, `JSON parse error - ${err.message}`);
  if (err instanceof TooDeep) {
    return new Refusal(400, `JSON parse error - nested more than ${PYTHON_LIMITS.depth} levels deep: flatten it`);
  }
  if (err instanceof UnknownCharset) {
    return new Refusal(400, `the charset "${type.params.get("charset")}" is not known here: send UTF-8`);
  }
  return err;
}
