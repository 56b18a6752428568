/** One connection to one broker: all that the SDK asks of a transport. */
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { WorkRequest, WorkResponse } from "../gen/aibroker/v1/worker_service_pb.ts";
import type { BrokerError } from "./broker-error.ts";

/** Over which gRPC library a link speaks. */
export type TransportName = "grpc-js" | "connect";

/** Where a broker is and how to be let in. */
export interface LinkOptions {
  /** http://HOST:PORT (HTTP/2 without TLS) or https://HOST:PORT. */
  url: string;
  token: string;
  /** PEM certificates to trust instead of the system's, for https. */
  ca?: string | undefined;
  /** PEM certificate chain to show to a broker that asks for one, and its key. */
  cert?: string | undefined;
  key?: string | undefined;
  transport: TransportName;
}

export interface LinkCall {
  /** The call ends with DEADLINE_EXCEEDED after this. */
  timeoutMs: number;
  /** Aborted: the call ends with CANCELLED. */
  signal?: AbortSignal | undefined;
}

export interface Link {
  /** One unary call. Rejects with a BrokerError. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: LinkCall,
  ): Promise<MessageShape<O>>;
  /**
   * A stream of the broker's, opened when its first message is asked for; what nobody asks for stays with the broker.
   * Throws a BrokerError; ends at once with the signal, in whatever way.
   */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    signal: AbortSignal,
  ): AsyncIterable<MessageShape<O>>;
  /** Opens WorkerService.Work; nothing is sent before the first `send`. Never throws: faults come by `onEnd`. */
  openWork(listener: WorkListener): WorkStream;
  /** Ends everything that is under way. */
  close(): void;
}

export interface WorkListener {
  onMessage(message: WorkResponse): void;
  /** Once, as the last: why the stream is over; undefined when the broker ended it with OK. Not after `cancel`. */
  onEnd(error: BrokerError | undefined): void;
}

export interface WorkStream {
  /** `flushed` is called when the operating system has the bytes; never when the stream ends before. */
  send(message: WorkRequest, flushed?: () => void): void;
  /** Says that nothing more will be sent. */
  end(): void;
  /** Ends the stream at once and in silence. */
  cancel(): void;
}

/** Connections that nobody closed, to a machine that is gone, are found within the sum of these. */
export const KEEP_ALIVE = { everyMs: 30_000, timeoutMs: 10_000 } as const;

/** GetJob may answer with a payload and a result of the largest sizes that a broker can be set to. */
export const MAX_RECEIVED_BYTES = 256 * 1024 * 1024;
