/** A link over @connectrpc/connect-node: gRPC on node's own HTTP/2. */
import type { DescMessage, DescMethodServerStreaming, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { WorkerService, type WorkRequest, type WorkRequestSchema } from "../gen/aibroker/v1/worker_service_pb.ts";
import { asBrokerError, type BrokerError } from "./broker-error.ts";
import {
  KEEP_ALIVE,
  type Link,
  type LinkOptions,
  MAX_RECEIVED_BYTES,
  type WorkListener,
  type WorkStream,
} from "./link.ts";

const PINGS = { pingIntervalMs: KEEP_ALIVE.everyMs, pingTimeoutMs: KEEP_ALIVE.timeoutMs };
/** Node's default of 10 MB is less than one large result. */
const SESSION_MEMORY_MB = 256;

/** Connects with the first call. */
export function connectLink({ url, token, ca, cert, key }: LinkOptions): Link {
  const connection = new Http2SessionManager(url, PINGS, {
    maxSessionMemory: SESSION_MEMORY_MB,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  });
  const transport = createGrpcTransport({ baseUrl: url, sessionManager: connection, readMaxBytes: MAX_RECEIVED_BYTES });
  const headers = { "x-worker-token": token };
  return {
    call: async (method, request, { timeoutMs, signal }) => {
      try {
        const { message } = await transport.unary(method, signal, Math.ceil(timeoutMs), headers, request);
        return message;
      } catch (error) {
        throw asBrokerError(error);
      }
    },
    stream: (method, request, signal) => readStream(transport, headers, method, request, signal),
    openWork: (listener) => openWork(transport, headers, listener),
    close: () => connection.abort(),
  };
}

async function* readStream<I extends DescMessage, O extends DescMessage>(
  transport: Transport,
  headers: Record<string, string>,
  method: DescMethodServerStreaming<I, O>,
  request: MessageInitShape<I>,
  signal: AbortSignal,
): AsyncGenerator<MessageShape<O>> {
  try {
    const { message: messages } = await transport.stream(method, signal, undefined, headers, only(request));
    yield* messages;
  } catch (error) {
    throw asBrokerError(error);
  }
}

async function* only<T>(message: T): AsyncGenerator<T> {
  yield message;
}

function openWork(transport: Transport, headers: Record<string, string>, listener: WorkListener): WorkStream {
  const outgoing = new Outgoing();
  const cancelling = new AbortController();
  void read(transport, headers, outgoing, cancelling.signal, listener);
  return {
    send: (message, flushed) => outgoing.send(message, flushed),
    end: () => outgoing.end(),
    cancel: () => {
      cancelling.abort();
      outgoing.end();
    },
  };
}

async function read(
  transport: Transport,
  headers: Record<string, string>,
  outgoing: Outgoing,
  cancelled: AbortSignal,
  listener: WorkListener,
): Promise<void> {
  let fault: BrokerError | undefined;
  try {
    const { message: messages } = await transport.stream(
      WorkerService.method.work,
      cancelled,
      undefined,
      headers,
      outgoing.messages(),
    );
    for await (const message of messages) {
      if (cancelled.aborted) return;
      listener.onMessage(message);
    }
  } catch (error) {
    fault = asBrokerError(error);
  }
  outgoing.end();
  if (!cancelled.aborted) listener.onEnd(fault);
}

/** What is to be sent, as the iterable that Connect reads from. */
class Outgoing {
  readonly #waiting: { message: WorkRequest; flushed: (() => void) | undefined }[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  send(message: WorkRequest, flushed: (() => void) | undefined): void {
    if (this.#ended) return;
    this.#waiting.push({ message, flushed });
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *messages(): AsyncGenerator<MessageInitShape<typeof WorkRequestSchema>> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        yield next.message;
        // Asked for the next one, Connect has handed this one over.
        next.flushed?.();
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
