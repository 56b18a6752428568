/** What a call can end with, whichever transport made it. */
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";

/** The gRPC status codes but OK, as the gRPC documents spell them. */
export type StatusCode =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

const CODES: Record<Code, StatusCode> = {
  [Code.Canceled]: "CANCELLED",
  [Code.Unknown]: "UNKNOWN",
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.NotFound]: "NOT_FOUND",
  [Code.AlreadyExists]: "ALREADY_EXISTS",
  [Code.PermissionDenied]: "PERMISSION_DENIED",
  [Code.ResourceExhausted]: "RESOURCE_EXHAUSTED",
  [Code.FailedPrecondition]: "FAILED_PRECONDITION",
  [Code.Aborted]: "ABORTED",
  [Code.OutOfRange]: "OUT_OF_RANGE",
  [Code.Unimplemented]: "UNIMPLEMENTED",
  [Code.Internal]: "INTERNAL",
  [Code.Unavailable]: "UNAVAILABLE",
  [Code.DataLoss]: "DATA_LOSS",
  [Code.Unauthenticated]: "UNAUTHENTICATED",
};

export interface BrokerErrorFacts {
  reason?: string | undefined;
  field?: string | undefined;
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/** A call that the broker refused, or that never reached it. Decide by `reason` (docs/errors.md), else by `code`. */
export class BrokerError extends Error {
  override readonly name = "BrokerError";
  readonly code: StatusCode;
  /** From google.rpc.ErrorInfo, for example BAD_FIELD; undefined: these are not the broker's own words. */
  readonly reason: string | undefined;
  /** The field at fault, for example jobs[3].type. */
  readonly field: string | undefined;
  /** Try again no sooner than this, where the broker says so. */
  readonly retryAfterMs: number | undefined;

  constructor(code: StatusCode, message: string, facts: BrokerErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.reason = facts.reason;
    this.field = facts.field;
    this.retryAfterMs = facts.retryAfterMs;
  }
}

/** Reads the details of a ConnectError; anything else that was thrown becomes UNKNOWN, a BrokerError stays. */
export function asBrokerError(thrown: unknown): BrokerError {
  if (thrown instanceof BrokerError) return thrown;
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema)[0];
  const retryDelay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return new BrokerError(CODES[error.code], error.rawMessage, {
    reason: info?.reason,
    field: info?.metadata["field"],
    retryAfterMs: retryDelay && durationMs(retryDelay),
    cause: thrown,
  });
}

// Without a reason it was the connection, a proxy or Node that spoke, and those codes say little.
const VAGUE: ReadonlySet<StatusCode> = new Set(["CANCELLED", "UNKNOWN", "INTERNAL", "ABORTED"]);

/** Whether the same call may succeed later, or at another address. */
export function isTransient(error: BrokerError): boolean {
  if (error.code === "UNAVAILABLE" || error.code === "DEADLINE_EXCEEDED") return true;
  return error.retryAfterMs !== undefined || (error.reason === undefined && VAGUE.has(error.code));
}

/** Whether the token will not do, so that trying again is of no use. */
export function isRefusal(error: BrokerError): boolean {
  return error.code === "UNAUTHENTICATED" || error.code === "PERMISSION_DENIED";
}
