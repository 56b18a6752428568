/**
 * The errors that Connect raises by itself, before any handler or interceptor runs: a message that cannot be read, is
 * too large, or is packed in a way that nobody here knows. They get the ErrorInfo that every other error has.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Reason } from "../errors.ts";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { errorInfo, retryInfo } from "./errors.ts";

const MALFORMED = {
  reason: "MALFORMED_REQUEST",
  hint: "send the message that the method takes; grpcurl -plaintext HOST:PORT describe <service> shows it",
} as const;

const MEANINGS: Partial<Record<Code, { reason: Reason; hint: string }>> = {
  [Code.InvalidArgument]: MALFORMED,
  // What gRPC asks for where protobuf's bytes cannot be read. Faults of ours have their ErrorInfo already.
  [Code.Internal]: MALFORMED,
  [Code.ResourceExhausted]: {
    reason: "REQUEST_TOO_LARGE",
    hint: "sending it again cannot help: send fewer items at once, or raise MAX_REQUEST_BYTES",
  },
  [Code.Unimplemented]: { reason: "NOT_SERVED", hint: "send one message, as it is or packed with gzip or br" },
};

const REOPEN_AFTER_MS = 1_000;

const ENDED = { reason: "CALL_ENDED", hint: "the call was over before its answer was" } as const;

/** What an error of Connect's own means. */
export function reasonOf(code: Code): Reason {
  return (MEANINGS[code] ?? ENDED).reason;
}

/** The reason that an error carries, or, where it carries none, what Connect means by it. */
export function reasonIn(err: ConnectError): Reason {
  const info = err.findDetails(ErrorInfoSchema).find(({ domain }) => domain === "aibroker");
  return (info?.reason as Reason | undefined) ?? reasonOf(err.code);
}

/**
 * Adds its ErrorInfo to an error that ends the call of this signal without one, and tells `onError` of it (not in its
 * words, which may quote a payload). Connect aborts a call's signal with the error that it is about to write out, in
 * every protocol; test/rpc/own-errors.test.ts holds it to that. A stream that a too large message has ended may be opened
 * again, so `isStream` adds a RetryInfo.
 */
export function completeErrors(
  signal: AbortSignal,
  isStream: boolean,
  onError: (code: Code, reason: Reason) => void,
): void {
  const complete = () => {
    const err: unknown = signal.reason;
    if (!(err instanceof ConnectError) || err.findDetails(ErrorInfoSchema).length > 0) return;
    const { reason, hint } = MEANINGS[err.code] ?? ENDED;
    err.details.push(errorInfo(reason, { hint }));
    if (isStream && err.code === Code.ResourceExhausted) err.details.push(retryInfo(REOPEN_AFTER_MS));
    onError(err.code, reason);
  };
  signal.addEventListener("abort", complete, { once: true });
}
