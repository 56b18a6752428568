/** The one interceptor: turns what a handler throws into what the wire carries, and writes a line for each call. */
import { Code, ConnectError, type Interceptor, type StreamRequest, type UnaryRequest } from "@connectrpc/connect";
import type { Logger } from "pino";
import type { Reason } from "../errors.ts";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { type CallRecorder, NO_CALLS } from "./call-recorder.ts";
import { describeBug, toConnectError } from "./errors.ts";
import { reasonIn, reasonOf } from "./own-errors.ts";

/**
 * Maps errors of unary calls and of streams (whose errors no try around the call sees), and logs each call once, at
 * debug: method, code, reason, duration; a bug at error, with its stack. Never bodies, never metadata. `calls` counts
 * them, and the errors that have a reason of ours; completeErrors tells of Connect's own.
 */
export function observeCalls(log: Logger, calls: CallRecorder = NO_CALLS): Interceptor {
  return (next) => async (req) => {
    const call = begin(log, req, calls);
    try {
      const res = await next(req.stream ? { ...req, message: incoming(req.message) } : req);
      if (res.stream) return { ...res, message: observed(res.message, call, req.signal) };
      call.end();
      return res;
    } catch (thrown) {
      throw call.fail(thrown);
    }
  };
}

interface Call {
  end(): void;
  /** The client left, or the deadline passed, before the end. */
  leave(why: unknown): void;
  fail(thrown: unknown): ConnectError;
}

function begin(log: Logger, req: UnaryRequest | StreamRequest, calls: CallRecorder): Call {
  const startedAt = performance.now();
  const method = `${req.service.typeName}/${req.method.name}`;
  let open = true;
  const line = (code: Code | 0, reason?: Reason) => {
    if (!open) return;
    open = false;
    calls.ended(method);
    const duration_ms = Math.round((performance.now() - startedAt) * 10) / 10;
    const words = { code: code === 0 ? "OK" : Code[code], ...(reason === undefined ? {} : { reason }) };
    log.debug({ method, ...words, duration_ms }, "call");
  };
  return {
    end: () => line(0),
    leave(why) {
      const { code } = ConnectError.from(why, Code.Canceled);
      line(code, reasonOf(code));
    },
    fail: (thrown) => {
      const err = isGone(thrown) ? clientLeft(thrown) : toConnectError(thrown);
      if (err.code === Code.Internal && !(thrown instanceof ConnectError)) {
        log.error(
          { method, reason: reasonIn(err), err: describeBug(thrown) },
          "a call failed through a fault of the broker",
        );
      }
      // One that was aborted has been counted as what aborted it.
      if (open && err.findDetails(ErrorInfoSchema).length > 0 && !req.signal.aborted) {
        calls.failed(method, reasonIn(err));
      }
      line(err.code, reasonIn(err));
      return err;
    },
  };
}

/** What node says of an answer that nobody reads any more: no fault of ours. */
function isGone(thrown: unknown): boolean {
  const { code } = (thrown ?? {}) as { code?: unknown };
  return (
    code === "ERR_STREAM_DESTROYED" || code === "ERR_STREAM_PREMATURE_CLOSE" || code === "ERR_HTTP2_INVALID_STREAM"
  );
}

function clientLeft(cause: unknown): ConnectError {
  return new ConnectError("the client left", Code.Canceled, undefined, undefined, cause);
}

async function* observed<T>(messages: AsyncIterable<T>, call: Call, signal: AbortSignal): AsyncGenerator<T> {
  // A generator that waits in `yield` never learns that its client died (its finally never runs); the signal does.
  signal.addEventListener("abort", () => call.leave(signal.reason), { once: true });
  try {
    yield* messages;
    call.end();
  } catch (thrown) {
    throw call.fail(thrown);
  }
}

/** What a client's own messages fail with is never a fault of ours: it left, or its connection broke. */
async function* incoming<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (thrown) {
    if (thrown instanceof ConnectError) throw thrown;
    throw clientLeft(thrown);
  }
}
