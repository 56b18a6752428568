/** Values for the fields of messages: some that a decent client sends, so that a case gets far, and some that none does. */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import fc from "fast-check";

/** What is there: ids of jobs, tokens of leases. A case that names them reaches the database. */
export interface Known {
  jobIds: readonly string[];
  leaseTokens: readonly string[];
  /** Each field that a case has had, with its form: "json Message.field". */
  drawn: Set<string>;
}

export type Form = "json" | "binary";

export const nameOf = (form: Form, field: DescField): string => `${form} ${field.parent.name}.${field.name}`;

export const WORKER = "fuzz-worker";

const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;

/** Texts that some reader somewhere stumbles over. */
export const ODD_TEXTS: readonly string[] = [
  "",
  "\0",
  "a\0b",
  "\ud800",
  "\udc00x",
  "x\ud83d",
  "\u{10ffff}",
  "\ufeffx",
  "\u202ex",
  "\r\n",
  "__proto__",
  "constructor",
  "toString",
  "%s%n%00",
  "' OR 1=1 --",
  "'; DROP TABLE ai_job; --",
  "$1",
  "{}",
  "\\",
  "../../etc/passwd",
  "NaN",
  "-0",
  "x".repeat(65),
  "x".repeat(129),
  "한".repeat(64),
  "x".repeat(5_001),
  "JOB_STATUS_PENDING",
  "infinity",
];

/** Texts of payloads and results. */
const JSON_TEXTS: readonly string[] = [
  "{}",
  '{"a":1}',
  '{"image_path":"x"}',
  '{"image_path":7}',
  '{"academy_id":9223372036854775808}',
  '{"__proto__":{"polluted":true}}',
  '{"constructor":{"prototype":{"polluted":true}}}',
  '{"a":"\\u0000"}',
  '{"a":"\\ud800"}',
  '{"\\u0000":1}',
  '{"a":1e400}',
  '{"a":1e131071}',
  '{"a":-1e-16383}',
  '{"a":1e999999999}',
  `{"a":${"9".repeat(400)}}`,
  `{"a":${deep(63)}}`,
  `{"a":${deep(64)}}`,
  `{"a":${deep(50_000)}}`,
  `{"a":${'{"a":'.repeat(70)}1${"}".repeat(70)}}`,
  '{"a":1,"a":2}',
  "[]",
  "null",
  "1",
  '"x"',
  "{",
  "{}{}",
  " {}",
  "\ufeff{}",
  '{"a":NaN}',
  "{'a':1}",
  '{"a":01}',
];

const TYPES: readonly string[] = ["ocr", "embedding", "fuzz", "note", "problem_generation"];
const URLS: readonly string[] = [
  "http://127.0.0.1/",
  "https://[::1]/",
  "https://10.0.0.1/x",
  "ftp://x",
  "https://",
  "x",
];

/** A text for a field of this name. */
export function textFor(field: DescField, known: Known): fc.Arbitrary<string> {
  const fit = fittingTexts(field.name, known);
  return fc.oneof(
    { arbitrary: fc.constantFrom(...fit), weight: 6 },
    { arbitrary: fc.constantFrom(...ODD_TEXTS), weight: 2 },
    { arbitrary: fc.string({ unit: "binary", maxLength: 20 }), weight: 1 },
  );
}

function fittingTexts(name: string, { jobIds, leaseTokens }: Known): readonly string[] {
  if (/json$/.test(name)) return JSON_TEXTS;
  if (/^(job_id|job_ids|id)$/.test(name)) return jobIds;
  if (name === "lease_token") return leaseTokens;
  if (/^types?$/.test(name)) return TYPES;
  if (/worker_id/.test(name)) return [WORKER, "other-worker"];
  if (name === "url") return URLS;
  if (name === "kinds") return ["job.done", "job.failed", "done", "failed"];
  if (name === "webhook_id") return ["wh_none", "wh_x"];
  return ["a", "some text", "t-1"];
}

export function isText(field: DescField): boolean {
  return field.scalar === ScalarType.STRING;
}

/** Whole numbers near every edge that there is. */
export const INTEGERS: readonly bigint[] = [
  0n,
  1n,
  2n,
  10n,
  100n,
  -1n,
  -100n,
  1_000n,
  1_001n,
  2n ** 31n - 1n,
  2n ** 31n,
  -(2n ** 31n),
  2n ** 32n,
  2n ** 53n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  2n ** 63n,
  -(2n ** 63n),
  2n ** 64n - 1n,
];

export const integer: fc.Arbitrary<bigint> = fc.oneof(
  { arbitrary: fc.constantFrom(0n, 1n, 2n, 3n), weight: 3 },
  { arbitrary: fc.constantFrom(...INTEGERS), weight: 2 },
  { arbitrary: fc.bigInt(-(2n ** 64n), 2n ** 64n), weight: 1 },
);

/** Some of a message's fields, the same one perhaps twice; they are noted as drawn. */
export function someFields(message: DescMessage, known: Known, form: Form): fc.Arbitrary<DescField[]> {
  return anyFields(message).map((fields) => {
    for (const field of fields) known.drawn.add(nameOf(form, field));
    return fields;
  });
}

function anyFields(message: DescMessage): fc.Arbitrary<DescField[]> {
  if (message.fields.length === 0) return fc.constant([]);
  const all: DescField[] = [...message.fields];
  const any = fc.constantFrom(...all);
  const most = fc.subarray(all, { minLength: Math.ceil(all.length / 2) });
  return fc.oneof(
    { arbitrary: most, weight: 4 },
    { arbitrary: fc.constant(all), weight: 2 },
    { arbitrary: fc.array(any, { maxLength: all.length + 2 }), weight: 1 },
  );
}
