/** multipart/form-data as Django reads it. A file counts by its name: the original only ever looks at that. */
import { decodeBase64 } from "./base64.ts";
import { type Charset, readLoosely } from "./charset.ts";
import { fileName } from "./file-name.ts";
import { parseHeader } from "./media-type.ts";
import { MAX_FIELDS } from "./query.ts";
import { Refusal } from "./refusal.ts";

/** Django's limits. */
const MAX_FILES = 100;
const MAX_HEADER_BYTES = 1_024;
const MAX_FIELD_BYTES = 2_621_440;

type Headers = Map<string, { value: string; params: Map<string, string> }>;

interface Part {
  kind: "raw" | "field" | "file";
  headers: Headers;
  content: Buffer;
}

/** The fields and the names of files, of a repeated one the last, files after fields. Throws Refusal 400. */
export function parseMultipart(body: Buffer, contentType: string, charset: Charset): Map<string, string> {
  const boundary = boundaryOf(contentType);
  const fields = new Map<string, string>();
  const files = new Map<string, string>();
  const counts = { fields: 0, files: 0, bytes: 0 };
  // A file counts only once something follows it: before that it may have been cut off.
  let pending: [string, string] | undefined;
  for (const segment of segments(body, Buffer.from(`--${boundary}`, "latin1"))) {
    if (pending !== undefined) files.set(...pending);
    pending = undefined;
    const part = parsePart(segment);
    if (part.kind !== "file") counts.fields++;
    // Two more for what stands before the first and behind the last boundary.
    if (counts.fields > MAX_FIELDS + 2) throw new Refusal(400, `more than ${MAX_FIELDS} fields: send fewer`);
    const disposition = part.headers.get("content-disposition")?.params;
    const rawName = disposition?.get("name");
    if (disposition === undefined || rawName === undefined) continue;
    const name = reread(rawName.replace(/^[ \t-\r]+|[ \t-\r]+$/g, ""), charset);
    const isBase64 = part.headers.get("content-transfer-encoding")?.value.trim() === "base64";
    if (part.kind === "field") {
      counts.bytes += part.content.length + Buffer.byteLength(name) + 2;
      if (counts.bytes > MAX_FIELD_BYTES) throw new Refusal(400, `the fields are larger than ${MAX_FIELD_BYTES} bytes`);
      const content = isBase64 ? (decodeBase64(part.content) ?? part.content) : part.content;
      fields.set(name, readLoosely(charset, content));
    } else {
      counts.files++;
      if (counts.files > MAX_FILES) throw new Refusal(400, `more than ${MAX_FILES} files: send fewer`);
      const file = fileName(reread(disposition.get("filename") ?? "", charset));
      if (file === undefined) continue;
      if (isBase64 && decodeBase64(part.content) === undefined) throw malformed("Could not decode base64 data.");
      if (name !== "") pending = [name, file];
    }
  }
  return new Map([...fields, ...files]);
}

function malformed(what: string): Refusal {
  return new Refusal(400, `Multipart form parse error - ${what}`);
}

function boundaryOf(contentType: string): string {
  if (!contentType.startsWith("multipart/")) throw malformed(`Invalid Content-Type: ${contentType}`);
  if (/[^\0-\x7f]/.test(contentType)) throw malformed(`Invalid non-ASCII Content-Type in multipart: ${contentType}`);
  const boundary = parseHeader(contentType).params.get("boundary");
  if (boundary === undefined || !/^[ -~]{0,200}[!-~]$/.test(boundary)) {
    throw malformed(`Invalid boundary in multipart: ${boundary ?? "None"}`);
  }
  return boundary;
}

/** What stands between the boundaries, without the line break before each; at the very end nothing is no segment. */
function* segments(body: Buffer, separator: Buffer): Generator<Buffer> {
  let start = 0;
  while (start < body.length) {
    const found = body.indexOf(separator, start);
    if (found < 0) return yield body.subarray(start);
    let end = found;
    if (end > start && body[end - 1] === 0x0a) end--;
    if (end > start && body[end - 1] === 0x0d) end--;
    yield body.subarray(start, end);
    start = found + separator.length;
  }
}

function parsePart(segment: Buffer): Part {
  const headers: Headers = new Map();
  const end = segment.subarray(0, MAX_HEADER_BYTES).indexOf("\r\n\r\n");
  if (end < 0) {
    if (segment.length >= MAX_HEADER_BYTES) throw malformed("Request max total header size exceeded.");
    return { kind: "raw", headers, content: segment };
  }
  let kind: Part["kind"] = "raw";
  for (const line of segment.subarray(0, end).toString("latin1").split("\r\n")) {
    const bytes = Buffer.from(line, "latin1");
    const text = bytes.toString("utf8");
    const { value: main, params } = parseHeader(text);
    const colon = main.indexOf(":");
    if (colon < 0 || !Buffer.from(text).equals(bytes)) continue;
    const name = main.slice(0, colon);
    headers.set(name, { value: main.slice(colon + 1), params });
    if (name === "content-disposition") kind = params.get("filename") ? "file" : "field";
  }
  return { kind, headers, content: segment.subarray(end + 4) };
}

/** Headers are UTF-8, but names are read once more in the charset of the body. */
function reread(text: string, charset: Charset): string {
  return readLoosely(charset, Buffer.from(text));
}
