/** One call with given bytes, in each protocol, and what was answered, in one form for all. */
import http2 from "node:http2";
import { type DescMethod, fromBinary, fromJsonString } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { errorFromJson } from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { envelope } from "./frames.ts";

export const PROTOCOLS = ["connect-json", "connect-proto", "grpc-web", "grpc"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export interface Call {
  method: DescMethod;
  protocol: Protocol;
  /** The messages of the request; of a unary one the first counts. */
  messages: readonly Buffer[];
  token: string;
  /** How the messages are packed, if they are. */
  packing?: "gzip" | "br";
  /** For a call that may take longer than a case of the fuzz. */
  timeoutMs?: number;
}

export interface Answer {
  /** 0: it went well. */
  code: number;
  reason: string | undefined;
  domain: string | undefined;
  /** Why it is no answer that a client can read. */
  unreadable: string | undefined;
}

/** No call takes longer: some are asked to wait. */
const DEADLINE_MS = 1_000;
/** A watch lasts as long as this. */
const STREAM_MS = 300;

/** More than the broker's, so that it is the broker that refuses. */
const SESSION_MB = 512;

export interface Caller {
  send(call: Call): Promise<Answer>;
  close(): void;
}

export function openCaller(url: string): Caller {
  const connect = () => http2.connect(url, { maxSessionMemory: SESSION_MB }).on("error", () => undefined);
  let session = connect();
  const open = () => {
    // A connection may be ended by what was sent on it.
    if (session.closed || session.destroyed) session = connect();
    return session;
  };
  return {
    send: (call) => (call.protocol === "grpc" ? overHttp2(open(), call) : overHttp1(url, call)),
    close: () => session.destroy(),
  };
}

function pathOf({ parent, name }: DescMethod): string {
  return `/${parent.typeName}/${name}`;
}

async function overHttp1(
  url: string,
  { method, protocol, messages, token, packing, timeoutMs = deadlineOf(method) }: Call,
): Promise<Answer> {
  const isStream = method.methodKind !== "unary";
  const form = { "connect-json": "json", "connect-proto": "proto" }[protocol as string];
  const type = form === undefined ? undefined : `application/${isStream ? "connect+" : ""}${form}`;
  const message = messages[0] as Buffer;
  const answer = await fetch(url + pathOf(method), {
    method: "POST",
    headers: {
      "content-type": type ?? "application/grpc-web+proto",
      "x-worker-token": token,
      ...(type === undefined ? { "grpc-timeout": `${timeoutMs}m` } : { "connect-timeout-ms": `${timeoutMs}` }),
      ...(packing === undefined ? {} : { [packedBy(type, isStream)]: packing }),
    },
    body: new Uint8Array(type === undefined || isStream ? enveloped(message, packing) : message),
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  if (type === undefined) return webAnswer(method, answer.headers, bytes);
  if (answer.status !== 200) {
    return refused(() => errorFromJson(JSON.parse(bytes.toString()), undefined, new ConnectError("no error")));
  }
  const take = (payload: Buffer) => {
    if (protocol === "connect-json") fromJsonString(method.output, payload.toString());
    else fromBinary(method.output, payload);
  };
  return isStream ? streamAnswer(bytes, take) : read(() => take(bytes));
}

/** Connect's streams: messages, and behind them a frame of its own that says how it ended. */
function streamAnswer(bytes: Buffer, take: (payload: Buffer) => void): Answer {
  const frames = framesOf(bytes);
  const last = frames.pop();
  if (last === undefined || (last.flags & 2) === 0) return unreadable("no end");
  const answer = read(() => {
    for (const { payload } of frames) take(payload);
  });
  if (answer.unreadable !== undefined) return answer;
  const { error } = JSON.parse(last.payload.toString()) as { error?: Parameters<typeof errorFromJson>[0] };
  return error === undefined ? answer : refused(() => errorFromJson(error, undefined, new ConnectError("no error")));
}

function packedBy(type: string | undefined, isStream: boolean): string {
  if (type === undefined) return "grpc-encoding";
  return isStream ? "connect-content-encoding" : "content-encoding";
}

function deadlineOf({ methodKind }: DescMethod): number {
  return methodKind === "unary" ? DEADLINE_MS : STREAM_MS;
}

/** The message, and behind it the trailers in a frame of their own; or a head alone that has them. */
function webAnswer(method: DescMethod, headers: Headers, bytes: Buffer): Answer {
  if (headers.has("grpc-status")) return trailed(method, headers, []);
  const frames = framesOf(bytes);
  const trailer = frames.find(({ flags }) => (flags & 0x80) !== 0);
  if (trailer === undefined) return unreadable("no trailers");
  const lines = trailer.payload.toString("latin1").trimEnd().split("\r\n");
  const fields = lines.map((line) => line.split(/: ?(.*)/s, 2) as [string, string]);
  return trailed(
    method,
    new Headers(fields),
    frames.filter((one) => one !== trailer),
  );
}

function overHttp2(
  session: http2.ClientHttp2Session,
  { method, messages, token, packing, timeoutMs = deadlineOf(method) }: Call,
): Promise<Answer> {
  const stream = session.request({
    ":method": "POST",
    ":path": pathOf(method),
    "content-type": "application/grpc",
    te: "trailers",
    "x-worker-token": token,
    "grpc-timeout": `${timeoutMs}m`,
    ...(packing === undefined ? {} : { "grpc-encoding": packing }),
  });
  const chunks: Buffer[] = [];
  const trailers = new Headers();
  const note = (fields: http2.IncomingHttpHeaders) => {
    for (const name of ["grpc-status", "grpc-message", "grpc-status-details-bin"]) {
      if (fields[name] !== undefined) trailers.set(name, String(fields[name]));
    }
  };
  return new Promise((resolve) => {
    stream.on("response", note).on("trailers", note);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", () => undefined);
    stream.on("close", () => {
      if (!trailers.has("grpc-status")) resolve(unreadable(`the stream was closed with ${stream.rstCode}`));
      else resolve(trailed(method, trailers, framesOf(Buffer.concat(chunks))));
    });
    stream.end(Buffer.concat(messages.map((message) => enveloped(message, packing))));
  });
}

function enveloped(message: Buffer, packing: Call["packing"]): Buffer {
  return envelope(message, message.length, packing === undefined ? 0 : 1);
}

interface Framed {
  flags: number;
  payload: Buffer;
}

function framesOf(bytes: Buffer): Framed[] {
  const frames: Framed[] = [];
  for (let at = 0; at + 5 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 1);
    frames.push({ flags: bytes[at] as number, payload: bytes.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return frames;
}

function trailed(method: DescMethod, trailers: Headers, frames: readonly Framed[]): Answer {
  if (trailers.get("grpc-status") !== "0") return refused(() => findTrailerError(trailers));
  return read(() => {
    if (method.methodKind === "unary" && frames.length !== 1) throw new Error(`${frames.length} messages`);
    for (const { payload } of frames) fromBinary(method.output, payload);
  });
}

function read(message: () => void): Answer {
  try {
    message();
    return { code: 0, reason: undefined, domain: undefined, unreadable: undefined };
  } catch (err) {
    return unreadable(String(err));
  }
}

function refused(error: () => ConnectError | undefined): Answer {
  try {
    const err = error();
    const [info, ...more] = err?.findDetails(ErrorInfoSchema) ?? [];
    if (err === undefined || more.length > 0) return unreadable("not one ErrorInfo");
    return { code: err.code, reason: info?.reason, domain: info?.domain, unreadable: undefined };
  } catch (err) {
    return unreadable(String(err));
  }
}

function unreadable(why: string): Answer {
  return { code: -1, reason: undefined, domain: undefined, unreadable: why };
}
