/**
 * Unary calls in plain gRPC, from request to answer. Connect leads each call through a dozen async iterables, which is 0.6 ms
 * of CPU here where this is a fifth of that (docs/decisions/022). What is not plain (other protocols, HTTP/1.1, JSON,
 * packed messages, streams) goes Connect's way; gate, interceptors, handlers and the texts of errors are the same on both.
 */
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from "node:http2";
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  type HandlerContext,
  type Interceptor,
  type MethodImplSpec,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { AnyRequest } from "./connections.ts";
import { grpcDeadlineMs } from "./deadline.ts";
import { CallContext } from "./grpc-context.ts";
import { readMessage } from "./grpc-message.ts";

export type UnarySpec = Extract<MethodImplSpec, { kind: "unary" }>;

export interface GrpcUnaryOptions {
  /** Runs before a byte of the body is read; what it throws is the answer. */
  requestGate: (context: HandlerContext) => void;
  interceptors: readonly Interceptor[];
  /** A larger message is RESOURCE_EXHAUSTED. */
  readMaxBytes: number;
  /** Aborts calls that are under way at the end of a shutdown. */
  shutdownSignal: AbortSignal;
}

/** With the call's context beside what interceptors see. */
type CallRequest = UnaryRequest & { context: HandlerContext };
type Invoke = (req: CallRequest) => Promise<UnaryResponse>;

/** Answers one call, and resolves when its handler is done. Never rejects. */
export type GrpcUnary = (req: Http2ServerRequest, res: Http2ServerResponse, values: ContextValues) => Promise<void>;

const PLAIN_TYPE = /^application\/grpc(\+proto)?$/i;
const TYPE = "application/grpc+proto";
/** What a newer client says beside is of no use, and 30 MiB of it took 2.7 GB. */
export const READING = { readUnknownFields: false } as const;
const NO_ERROR = 0;
const CANCEL = 8;

/** Whether a request for a unary method can be answered here. */
export function isPlainGrpc(req: AnyRequest): req is Http2ServerRequest {
  const { headers } = req;
  const encoding = headers["grpc-encoding"] ?? "identity";
  const isHttp2 = "stream" in req && req.authority !== "";
  return isHttp2 && req.method === "POST" && PLAIN_TYPE.test(headers["content-type"] ?? "") && encoding === "identity";
}

/** The handler of one method. */
export function createGrpcUnary({ method, impl }: UnarySpec, options: GrpcUnaryOptions): GrpcUnary {
  const { requestGate, readMaxBytes, shutdownSignal } = options;
  const innermost = async (req: CallRequest): Promise<UnaryResponse> => ({
    stream: false,
    service: method.parent,
    method,
    message: create(method.output, await impl(req.message, req.context)),
    header: req.context.responseHeader,
    trailer: req.context.responseTrailer,
  });
  const invoke = options.interceptors.reduceRight<Invoke>(
    (next, interceptor) => interceptor(next as never) as never,
    innermost,
  );

  return async (req, res, values) => {
    const call = new Call(req, res, shutdownSignal);
    const context = new CallContext(req, { service: method.parent, method, values, call });
    try {
      requestGate(context);
      call.limit(req.headers["grpc-timeout"]);
      const bytes = await call.orAborted(readMessage(req, method.input, readMaxBytes));
      const message = parse(method.input, bytes);
      // Not left alone when the call is over: it may have to put things right, and its answer may still be in time.
      const answer = await invoke(requestOf(context, message));
      call.answer(serialize(method.output, answer.message), context);
    } catch (thrown) {
      call.fail(thrown, context);
    } finally {
      call.end();
    }
  };
}

function requestOf(context: CallContext, message: MessageShape<DescMessage>): CallRequest {
  const { method, service, requestMethod, signal, values: contextValues } = context;
  return {
    ...{ stream: false, method, service, requestMethod, signal, contextValues, message, context },
    get url() {
      return context.url;
    },
    get header() {
      return context.requestHeader;
    },
  } as CallRequest;
}

// Both in Connect's words and with its code.
function parse<D extends DescMessage>(desc: D, bytes: Uint8Array): MessageShape<D> {
  try {
    return fromBinary(desc, bytes, READING);
  } catch (err) {
    throw unreadable(`parse binary: ${(err as Error).message}`, err);
  }
}

function serialize(desc: DescMessage, message: MessageShape<DescMessage>): Uint8Array {
  try {
    return toBinary(desc, message);
  } catch (err) {
    throw unreadable(`serialize binary: ${(err as Error).message}`, err);
  }
}

function unreadable(text: string, cause: unknown): ConnectError {
  return new ConnectError(text, Code.Internal, undefined, undefined, cause);
}

/** One call's end, whatever brings it: its answer, its deadline, its client, the shutdown. */
class Call {
  readonly #req: Http2ServerRequest;
  readonly #res: Http2ServerResponse;
  readonly #abort = new AbortController();
  readonly #shutdown: AbortSignal;
  #deadline: NodeJS.Timeout | undefined;
  #endsAt: number | undefined;

  constructor(req: Http2ServerRequest, res: Http2ServerResponse, shutdown: AbortSignal) {
    this.#req = req;
    this.#res = res;
    this.#shutdown = shutdown;
    res.once("close", this.#onClose);
    if (shutdown.aborted) this.#onShutdown();
    else shutdown.addEventListener("abort", this.#onShutdown);
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Until the deadline, if there is one. */
  get leftMs(): number | undefined {
    return this.#endsAt === undefined ? undefined : this.#endsAt - Date.now();
  }

  /** Takes the deadline as the client has sent it; throws where it cannot be read. */
  limit(sent: string | string[] | undefined): void {
    if (sent === undefined) return;
    const timeoutMs = grpcDeadlineMs(String(sent));
    if (timeoutMs === undefined) return;
    this.#endsAt = Date.now() + timeoutMs;
    this.#deadline = setTimeout(() => {
      this.#abort.abort(new ConnectError("the operation timed out", Code.DeadlineExceeded));
    }, timeoutMs);
  }

  /** What the promise resolves with, or a rejection as soon as the call is over. */
  orAborted<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this;
    return new Promise((resolve, reject) => {
      const over = () => reject(reasonOf(signal));
      if (signal.aborted) over();
      signal.addEventListener("abort", over, { once: true });
      promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", over));
    });
  }

  answer(message: Uint8Array, context: CallContext): void {
    const frame = Buffer.allocUnsafe(5 + message.byteLength);
    frame[0] = 0;
    frame.writeUInt32BE(message.byteLength, 1);
    frame.set(message, 5);
    this.#send(frame, context, context.trailers({ "grpc-status": "0" }));
  }

  fail(thrown: unknown, context: CallContext): void {
    const error =
      thrown instanceof ConnectError
        ? thrown
        : new ConnectError("internal error", Code.Internal, undefined, undefined, thrown);
    // Who completes errors listens for this (own-errors.ts).
    this.#abort.abort(error);
    this.#send(undefined, context, Object.fromEntries(setTrailerStatus(new Headers(context.trailers({})), error)));
  }

  #send(frame: Buffer | undefined, context: CallContext, trailers: Record<string, string>): void {
    const res = this.#res;
    if (res.destroyed || res.writableEnded) return;
    res.writeHead(200, context.headers({ "content-type": TYPE }));
    res.addTrailers(trailers);
    // The rest of a message that was refused is not waited for. (The finish of res comes when the client has ended as well,
    // which it may not before it may send on.)
    const { stream } = this.#req;
    if (!this.#req.complete) stream.once("wantTrailers", () => setImmediate(resetOnceSent, stream));
    if (frame === undefined) res.end();
    else res.end(frame);
  }

  end(): void {
    clearTimeout(this.#deadline);
    this.#res.off("close", this.#onClose);
    this.#shutdown.removeEventListener("abort", this.#onShutdown);
  }

  readonly #onShutdown = () => this.#abort.abort(this.#shutdown.reason);

  readonly #onClose = () => {
    const { rstCode } = this.#req.stream;
    if (rstCode === CANCEL) this.#abort.abort(new ConnectError("the client cancelled the call", Code.Canceled));
    else this.#abort.abort();
  };
}

const LOOK_AGAIN_MS = 100;

/** Behind the trailers: a reset that is asked for while they wait to be sent goes in their place. */
function resetOnceSent(stream: ServerHttp2Stream): void {
  if (stream.destroyed) return;
  if (stream.state.localClose === 1) stream.close(NO_ERROR);
  else setTimeout(resetOnceSent, LOOK_AGAIN_MS, stream).unref();
}

function reasonOf(signal: AbortSignal): unknown {
  const { reason } = signal;
  return reason instanceof ConnectError ? reason : new ConnectError("the client left", Code.Canceled);
}
