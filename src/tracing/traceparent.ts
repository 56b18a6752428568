/** W3C trace context: the one line that travels with a job, from its producer to whoever works on it. */
import type { SpanContext } from "@opentelemetry/api";

const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const ZEROS = /^0+$/;
const SAMPLED = 1;

/** What it says; undefined for anything that is not one. Versions to come may say more behind, which is not read. */
export function readTraceparent(text: string | null | undefined): SpanContext | undefined {
  const [, version, traceId, spanId, flags, more] = FORM.exec(text ?? "") ?? [];
  if (version === undefined || traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (version === "ff" || (version === "00" && more !== undefined)) return undefined;
  const read = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & SAMPLED, isRemote: true };
  return isValid(read) ? read : undefined;
}

export function writeTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, "0")}`;
}

/** Whether it names a trace and a span at all. */
export function isValid({ traceId, spanId }: SpanContext): boolean {
  return !ZEROS.test(traceId) && !ZEROS.test(spanId);
}

/** Whether anybody records the trace: without a parse, since it is asked for each job. */
export function isSampled(text: string | null | undefined): text is string {
  // The flags' last hex digit; the length is that of version 00.
  return text?.length === 55 && (Number.parseInt(text.charAt(54), 16) & SAMPLED) === SAMPLED;
}
