/** A link over @grpc/grpc-js. */
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import {
  type ChannelCredentials,
  Client,
  type ClientOptions,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import {
  WorkerService,
  type WorkRequest,
  WorkRequestSchema,
  type WorkResponse,
  WorkResponseSchema,
} from "../gen/aibroker/v1/worker_service_pb.ts";
import { asBrokerError, BrokerError } from "./broker-error.ts";
import {
  KEEP_ALIVE,
  type Link,
  type LinkCall,
  type LinkOptions,
  MAX_RECEIVED_BYTES,
  type WorkListener,
  type WorkStream,
} from "./link.ts";

const CHANNEL: ClientOptions = {
  "grpc.keepalive_time_ms": KEEP_ALIVE.everyMs,
  "grpc.keepalive_timeout_ms": KEEP_ALIVE.timeoutMs,
  "grpc.max_receive_message_length": MAX_RECEIVED_BYTES,
  "grpc.max_send_message_length": -1,
  // A connection of its own: one link must not share the fate of another.
  "grpc.use_local_subchannel_pool": 1,
  // Who calls decides when to try again, so the channel must not hold a call back for long.
  "grpc.enable_retries": 0,
  "grpc.initial_reconnect_backoff_ms": 50,
  "grpc.max_reconnect_backoff_ms": 200,
  "grpc.service_config_disable_resolution": 1,
};

interface Channel {
  client: Client;
  metadata: Metadata;
  /** Under way, to be cancelled when the link is closed: closing the channel alone lets them go on. */
  calls: Set<{ cancel(): void }>;
}

/** Connects with the first call. */
export function grpcJsLink(options: LinkOptions): Link {
  const { url, token } = options;
  const { hostname, port, protocol } = new URL(url);
  const secure = protocol === "https:";
  const metadata = new Metadata();
  metadata.set("x-worker-token", token);
  const channel: Channel = {
    client: new Client(
      `${hostname}:${port || (secure ? 443 : 80)}`,
      secure ? tlsTo(hostname, options) : credentials.createInsecure(),
      isIP(bare(hostname)) > 0 ? { ...CHANNEL, "grpc.ssl_target_name_override": "localhost" } : CHANNEL,
    ),
    metadata,
    calls: new Set(),
  };
  return {
    call: (method, request, options) => callUnary(channel, method, request, options),
    stream: (method, request, signal) => readStream(channel, method, request, signal),
    openWork: (listener) => openWork(channel, listener),
    close: () => {
      for (const call of channel.calls) call.cancel();
      channel.client.close();
    },
  };
}

/** grpc-js sends the host as TLS server name, which an IP address must not be, so there the name is a mere stand-in. */
function tlsTo(hostname: string, { ca, cert, key }: LinkOptions): ChannelCredentials {
  const host = bare(hostname);
  const verify =
    isIP(host) > 0
      ? { checkServerIdentity: (_: string, cert: PeerCertificate) => checkServerIdentity(host, cert) }
      : {};
  const bytes = (pem: string | undefined) => (pem === undefined ? null : Buffer.from(pem));
  return credentials.createSsl(bytes(ca), bytes(key), bytes(cert), verify);
}

/** An IPv6 address without the brackets that it has in a URL. */
function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}

function callUnary<I extends DescMessage, O extends DescMessage>(
  { client, metadata, calls }: Channel,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  { timeoutMs, signal }: LinkCall,
): Promise<MessageShape<O>> {
  if (signal?.aborted) return Promise.reject(new BrokerError("CANCELLED", "the call was cancelled"));
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(
      `/${method.parent.typeName}/${method.name}`,
      (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
      (bytes: Buffer) => fromBinary(method.output, bytes),
      create(method.input, request),
      metadata,
      { deadline: Date.now() + Math.ceil(timeoutMs) },
      (error, answer) => {
        signal?.removeEventListener("abort", cancel);
        calls.delete(call);
        if (error === null && answer !== undefined) resolve(answer);
        else reject(fromServiceError(error));
      },
    );
    // A listener of our own that goes with the call: a signal that lives for long would collect them.
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    calls.add(call);
  });
}

async function* readStream<I extends DescMessage, O extends DescMessage>(
  { client, metadata, calls }: Channel,
  method: DescMethodServerStreaming<I, O>,
  request: MessageInitShape<I>,
  signal: AbortSignal,
): AsyncGenerator<MessageShape<O>> {
  if (signal.aborted) throw new BrokerError("CANCELLED", "the call was cancelled");
  const call = client.makeServerStreamRequest(
    `/${method.parent.typeName}/${method.name}`,
    (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
    (bytes: Buffer) => fromBinary(method.output, bytes),
    create(method.input, request),
    metadata,
  );
  // What ends it is read below, and a cancel of our own by nobody.
  call.on("error", () => undefined);
  const cancel = () => call.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  calls.add(call);
  try {
    for await (const message of call) yield message as MessageShape<O>;
  } catch (error) {
    throw fromServiceError(error as ServiceError);
  } finally {
    signal.removeEventListener("abort", cancel);
    calls.delete(call);
    call.cancel();
  }
}

function openWork({ client, metadata, calls }: Channel, listener: WorkListener): WorkStream {
  const { name, parent } = WorkerService.method.work;
  const call = client.makeBidiStreamRequest(
    `/${parent.typeName}/${name}`,
    (message: WorkRequest) => Buffer.from(toBinary(WorkRequestSchema, message)),
    (bytes: Buffer) => fromBinary(WorkResponseSchema, bytes),
    metadata,
  );
  let over = false;
  const finish = (error: BrokerError | undefined) => {
    calls.delete(call);
    if (over) return;
    over = true;
    listener.onEnd(error);
  };
  calls.add(call);
  call.on("data", (message: WorkResponse) => !over && listener.onMessage(message));
  call.on("error", (error: ServiceError) => finish(fromServiceError(error)));
  call.on("end", () => finish(undefined));
  return {
    send: (message, flushed) => {
      if (over) return;
      // grpc-js calls back when it has taken the message; node's HTTP/2 writes it to the socket before the next turn.
      call.write(message, () => flushed && setImmediate(() => over || flushed()));
    },
    end: () => call.end(),
    cancel: () => {
      over = true;
      call.cancel();
    },
  };
}

/** Its details are read as the other transport reads them. What a stream reports that was cut may have none. */
function fromServiceError(error: ServiceError | null): BrokerError {
  if (error === null) return new BrokerError("UNKNOWN", "neither an answer nor an error came");
  const headers = new Headers({
    "grpc-status": String(error.code ?? status.UNKNOWN),
    "grpc-message": encodeURIComponent((error.details ?? error.message).toWellFormed()),
  });
  const [details] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (details !== undefined) headers.set("grpc-status-details-bin", Buffer.from(details).toString("base64"));
  return asBrokerError(findTrailerError(headers) ?? error);
}
