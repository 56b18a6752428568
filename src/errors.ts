/** Every error that a user can meet, by its reason. The edges (rpc, rest, cli) turn it into their own codes. */

/** The closed set of reasons, as they travel in google.rpc.ErrorInfo (domain "aibroker"); docs/errors.md lists them. */
export type Reason =
  | "BAD_FIELD"
  | "PAYLOAD_NOT_OBJECT"
  | "PAYLOAD_TOO_LARGE"
  | "BAD_PAGE_TOKEN"
  | "BAD_TOKEN"
  | "WRONG_ROLE"
  | "TOKEN_NOT_CONFIGURED"
  | "SHUTTING_DOWN"
  | "DATABASE_DOWN"
  | "JOB_NOT_FOUND"
  | "CURSOR_EXPIRED"
  | "WEBHOOK_NOT_FOUND"
  | "IDEMPOTENCY_KEY_REUSED"
  | "UNKNOWN_JOB_TYPE"
  | "QUEUE_FULL"
  | "MALFORMED_REQUEST"
  | "REQUEST_TOO_LARGE"
  | "NOT_SERVED"
  | "SERVICE_NOT_FOUND"
  | "SESSION_SUPERSEDED"
  | "TOO_MANY_STREAMS"
  | "TOO_MANY_FRAMES"
  | "SLOW_READER"
  | "WORKER_SILENT"
  | "WORKER_DRAINING"
  | "CALL_ENDED"
  | "INTERNAL";

/** An error with a cause that the caller can mend or wait out; anything else that is thrown is a bug. */
export class BrokerError extends Error {
  override readonly name = "BrokerError";
  readonly reason: Reason;
  /** Path of the field at fault, for example `jobs[3].type`. */
  readonly field: string | undefined;
  /** When to try again, where trying again helps. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: Reason,
    message: string,
    more: { field?: string | undefined; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.reason = reason;
    this.field = more.field;
    this.retryAfterMs = more.retryAfterMs;
  }
}

/** Bad input in one field. */
export function badField(field: string, message: string): BrokerError {
  return new BrokerError("BAD_FIELD", `${field}: ${message}`, { field });
}
