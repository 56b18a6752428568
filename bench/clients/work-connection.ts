/**
 * A Work stream by node:http2 and nothing else, many to a connection: what the broker's clients cost themselves should
 * not be in the figures of the broker, and thousands of streams must fit into a few processes.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  WorkRequestSchema,
  type WorkResponse,
  WorkResponseSchema,
} from "../../src/gen/aibroker/v1/worker_service_pb.ts";

export interface WorkListener {
  onMessage(message: WorkResponse): void;
  /** Once, as the last: the gRPC status, or -1 when the connection broke. */
  onEnd(status: number, words: string): void;
}

export interface WorkStream {
  send(message: MessageInitShape<typeof WorkRequestSchema>): void;
  /** Nothing more will be sent. */
  end(): void;
}

const PATH = "/aibroker.v1.WorkerService/Work";
/** A gRPC message: a flag, its length in 4 bytes, itself. */
const PREFIX_BYTES = 5;

/** Resolves once the connection is there. */
export function openConnection(url: string): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const session = connect(url);
    session.setMaxListeners(0);
    session.once("connect", () => resolve(session));
    session.on("error", reject);
  });
}

/** Opens a stream; nothing is sent before the first `send`. */
export function openStream(session: ClientHttp2Session, token: string, listener: WorkListener): WorkStream {
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: PATH,
    "content-type": "application/grpc",
    te: "trailers",
    "x-worker-token": token,
  });
  listen(stream, listener);
  return {
    send(message) {
      if (!stream.writable) return;
      const bytes = toBinary(WorkRequestSchema, create(WorkRequestSchema, message));
      const framed = Buffer.allocUnsafe(PREFIX_BYTES + bytes.length);
      framed[0] = 0;
      framed.writeUInt32BE(bytes.length, 1);
      framed.set(bytes, PREFIX_BYTES);
      stream.write(framed);
    },
    end: () => stream.end(),
  };
}

function listen(stream: ClientHttp2Stream, { onMessage, onEnd }: WorkListener): void {
  let rest: Buffer = Buffer.alloc(0);
  let status = -1;
  let words = "the connection broke";
  // An error of the gRPC layer may come with the headers alone.
  const readStatus = (headers: Record<string, string | string[] | number | undefined>) => {
    if (headers["grpc-status"] === undefined) return;
    status = Number(headers["grpc-status"]);
    words = decodeURIComponent(String(headers["grpc-message"] ?? ""));
  };
  stream.on("response", readStatus);
  stream.on("trailers", readStatus);
  stream.on("error", (error) => {
    words = error.message;
  });
  // The broker has said its last word, and so has the worker: else the stream would stay half open.
  stream.on("end", () => stream.end());
  stream.on("close", () => onEnd(status, words));
  stream.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= PREFIX_BYTES) {
      const end = PREFIX_BYTES + rest.readUInt32BE(1);
      if (rest.length < end) return;
      const message = fromBinary(WorkResponseSchema, rest.subarray(PREFIX_BYTES, end));
      rest = rest.subarray(end);
      onMessage(message);
    }
  });
}
