/** One attempt at a job: from its payload to what is to be reported. */
import { Fatal, RetryIn, SchemaError } from "./failures.ts";
import type { Job, JobContext, TypeEntry } from "./handler.ts";
import type { JobFacts } from "./job-view.ts";
import { jsonObject, storableText } from "./json-text.ts";
import { validate } from "./standard-schema.ts";

export type Outcome =
  /** `resultJson` is empty where the handler returned nothing. */
  | { status: "DONE"; resultJson: string }
  | { status: "FAILED"; error: string; retryable: boolean; retryDelayMs?: number; cause: unknown };

/** As the broker has them. */
const MAX_ERROR = 5_000;
const MAX_RETRY_MS = 30 * 24 * 3_600_000;

/** Runs the handler. Never rejects: whatever goes wrong is a FAILED outcome. */
export async function runAttempt(
  entry: TypeEntry,
  facts: JobFacts,
  payloadJson: string,
  ctx: JobContext,
  maxResultBytes: number,
): Promise<Outcome> {
  try {
    const payload = await received(entry, facts, payloadJson);
    const returned: unknown = await entry.handler({ ...facts, payload } as Job<never>, ctx);
    const { result: schema } = entry;
    const result = schema === undefined ? returned : await validate(schema, returned, `the result of ${facts.type}`);
    return { status: "DONE", resultJson: result === undefined ? "" : written(result, maxResultBytes) };
  } catch (thrown) {
    return failure(thrown);
  }
}

/** What a thrown value means. */
export function failure(thrown: unknown): Outcome & { status: "FAILED" } {
  const error = storableText(wordsOf(thrown), MAX_ERROR);
  if (thrown instanceof Fatal) return { status: "FAILED", error, retryable: false, cause: thrown };
  if (!(thrown instanceof RetryIn)) return { status: "FAILED", error, retryable: true, cause: thrown };
  const retryDelayMs = Math.round(Math.min(MAX_RETRY_MS, Math.max(0, thrown.delayMs || 0)));
  return { status: "FAILED", error, retryable: true, retryDelayMs, cause: thrown };
}

async function received({ payload: schema }: TypeEntry, { type }: JobFacts, payloadJson: string): Promise<unknown> {
  const payload: unknown = JSON.parse(payloadJson || "{}");
  if (schema === undefined) return payload;
  try {
    return await validate(schema, payload, `the payload of ${type}`);
  } catch (error) {
    // No other attempt would find another payload.
    throw error instanceof SchemaError ? new Fatal(error.message, { cause: error }) : error;
  }
}

function written(result: unknown, maxBytes: number): string {
  let json: string;
  try {
    json = jsonObject(result, "the result");
  } catch (error) {
    throw new Fatal((error as Error).message, { cause: error });
  }
  const bytes = Buffer.byteLength(json);
  if (bytes <= maxBytes) return json;
  const advice = "store it elsewhere and return a reference, or raise the broker's MAX_RESULT_BYTES";
  throw new Fatal(`the result is ${bytes} bytes, the limit is ${maxBytes} (MAX_RESULT_BYTES): ${advice}`);
}

function wordsOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) {
    return typeof thrown === "object" && thrown !== null ? "an object was thrown that is no Error" : String(thrown);
  }
  const plain = /^(Error|Fatal|RetryIn|Cancelled|LeaseLost|Shutdown)$/.test(thrown.name);
  return plain && thrown.message !== "" ? thrown.message : `${thrown.name}: ${thrown.message}`;
}
