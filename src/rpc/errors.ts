/** BrokerError on its way out: the gRPC code of its reason and the google.rpc details that a program can read. */
import { Code, ConnectError } from "@connectrpc/connect";
import { BrokerError, type Reason } from "../errors.ts";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { cut } from "../job/limits.ts";
import { asBrokerError } from "../store/database-errors.ts";
import { duration } from "./duration.ts";

const CODES: Record<Reason, Code> = {
  BAD_FIELD: Code.InvalidArgument,
  PAYLOAD_NOT_OBJECT: Code.InvalidArgument,
  PAYLOAD_TOO_LARGE: Code.InvalidArgument,
  BAD_PAGE_TOKEN: Code.InvalidArgument,
  BAD_TOKEN: Code.Unauthenticated,
  WRONG_ROLE: Code.PermissionDenied,
  TOKEN_NOT_CONFIGURED: Code.Unavailable,
  SHUTTING_DOWN: Code.Unavailable,
  DATABASE_DOWN: Code.Unavailable,
  JOB_NOT_FOUND: Code.NotFound,
  CURSOR_EXPIRED: Code.FailedPrecondition,
  WEBHOOK_NOT_FOUND: Code.NotFound,
  IDEMPOTENCY_KEY_REUSED: Code.AlreadyExists,
  UNKNOWN_JOB_TYPE: Code.FailedPrecondition,
  QUEUE_FULL: Code.ResourceExhausted,
  MALFORMED_REQUEST: Code.InvalidArgument,
  REQUEST_TOO_LARGE: Code.ResourceExhausted,
  NOT_SERVED: Code.Unimplemented,
  SERVICE_NOT_FOUND: Code.NotFound,
  SESSION_SUPERSEDED: Code.Aborted,
  TOO_MANY_STREAMS: Code.ResourceExhausted,
  TOO_MANY_FRAMES: Code.ResourceExhausted,
  SLOW_READER: Code.ResourceExhausted,
  WORKER_SILENT: Code.DeadlineExceeded,
  WORKER_DRAINING: Code.FailedPrecondition,
  CALL_ENDED: Code.Canceled,
  INTERNAL: Code.Internal,
};

/** Every reason there is: logs, metrics and ErrorInfo name no other. */
export const REASONS = Object.keys(CODES) as readonly Reason[];

/** These pass by themselves, so they always say when to come back. */
const DEFAULT_RETRY_MS: Partial<Record<Reason, number>> = {
  SHUTTING_DOWN: 1_000,
  DATABASE_DOWN: 1_000,
  QUEUE_FULL: 1_000,
  SESSION_SUPERSEDED: 1_000,
  TOO_MANY_STREAMS: 1_000,
  TOO_MANY_FRAMES: 1_000,
  SLOW_READER: 1_000,
  WORKER_SILENT: 1_000,
};

type OutgoingDetail = NonNullable<ConstructorParameters<typeof ConnectError>[3]>[number];

/** gRPC sends the message in the trailers, percent-encoded and once more in base64; clients take some 8 KiB of those. */
const MESSAGE_MAX = 300;
const FIELD_MAX = 80;

/**
 * What the wire carries for anything that was thrown. A BrokerError (also one that a database error means) gets its
 * code, one ErrorInfo, a BadRequest where the input is at fault and a RetryInfo where trying again helps. A
 * ConnectError passes as it is (own-errors.ts completes it). Anything else is a bug: INTERNAL, with nothing of it in
 * the message.
 */
export function toConnectError(thrown: unknown): ConnectError {
  if (thrown instanceof ConnectError) return thrown;
  const err = asBrokerError(thrown);
  if (err instanceof BrokerError) return fromBrokerError(err);
  if (err instanceof Error && err.name === "AbortError") {
    return fromBrokerError(new BrokerError("CALL_ENDED", "the call was cancelled", { cause: err }));
  }
  const text = "a fault inside the broker; it is in the broker's log";
  return fromBrokerError(new BrokerError("INTERNAL", text, { cause: err }));
}

/** The detail that every error carries, once. */
export function errorInfo(reason: Reason, metadata: Record<string, string> = {}): OutgoingDetail {
  return { desc: ErrorInfoSchema, value: { reason, domain: "aibroker", metadata } };
}

/** When to try again. */
export function retryInfo(ms: number): OutgoingDetail {
  return { desc: RetryInfoSchema, value: { retryDelay: duration(ms) } };
}

/** A bug for the log: names, codes and stack frames. Messages of SQL errors stay out, for they can quote a payload. */
export function describeBug(thrown: unknown): { type: string; message: string; code?: string; stack: string }[] {
  const links = [];
  for (let link = thrown; link instanceof Error && links.length < 5; link = link.cause) {
    const code = (link as { code?: unknown }).code;
    links.push({
      type: link.name,
      message: messageForLog(link),
      ...(typeof code === "string" && { code }),
      stack: (link.stack ?? "")
        .split("\n")
        .filter((line) => /^\s+at /.test(line))
        .slice(0, 12)
        .join("\n"),
    });
  }
  return links.length > 0 ? links : [{ type: typeof thrown, message: "not an Error was thrown", stack: "" }];
}

function messageForLog(err: Error): string {
  // Drizzle puts the statement and its parameters there; Postgres' own error follows as the cause.
  if (err.message.startsWith("Failed query")) return "Failed query";
  // Postgres quotes the value it cannot read, after a colon.
  if (err.name === "PostgresError") return cut(err.message.split(/:\s*"/)[0] ?? "", MESSAGE_MAX);
  return cut(err.message, MESSAGE_MAX);
}

function fromBrokerError(err: BrokerError): ConnectError {
  const code = CODES[err.reason];
  // A lone surrogate in a quoted input would make the encoding of the trailer throw.
  const message = cut(err.message.toWellFormed(), MESSAGE_MAX);
  const field = err.field === undefined ? undefined : cut(err.field.toWellFormed(), FIELD_MAX);
  const details: OutgoingDetail[] = [errorInfo(err.reason, field === undefined ? {} : { field })];
  if (code === Code.InvalidArgument && field !== undefined) {
    const violation = { field, description: message, reason: err.reason };
    details.push({ desc: BadRequestSchema, value: { fieldViolations: [violation] } });
  }
  const retryMs = err.retryAfterMs ?? DEFAULT_RETRY_MS[err.reason];
  if (retryMs !== undefined) details.push(retryInfo(retryMs));
  return new ConnectError(message, code, undefined, details, err);
}
