/** Clients of several makes for one server: Connect's three protocols, and @grpc/grpc-js without generated stubs. */
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";

/** Every way that connect-node has to call; the token goes with each call. */
export function transports(baseUrl: string, token: string): Record<string, Transport> {
  const interceptors = [withToken(token)];
  return {
    grpc: createGrpcTransport({ baseUrl, interceptors }),
    "grpc-web over HTTP/1.1": createGrpcWebTransport({ baseUrl, interceptors, httpVersion: "1.1" }),
    "grpc-web over HTTP/2": createGrpcWebTransport({ baseUrl, interceptors, httpVersion: "2" }),
    "connect over HTTP/1.1": createConnectTransport({ baseUrl, interceptors, httpVersion: "1.1" }),
    "connect over HTTP/2": createConnectTransport({ baseUrl, interceptors, httpVersion: "2" }),
    "connect in JSON": createConnectTransport({ baseUrl, interceptors, httpVersion: "1.1", useBinaryFormat: false }),
  };
}

/** Sends it as x-worker-token; "Bearer …" goes into authorization instead. */
export function withToken(token: string): Interceptor {
  return (next) => (req) => {
    if (token.startsWith("Bearer ")) req.header.set("authorization", token);
    else if (token !== "") req.header.set("x-worker-token", token);
    return next(req);
  };
}

/** What a program reads from an error: the details that every refusal of the broker carries. */
export interface ReadError {
  code: number;
  message: string;
  reason: string | undefined;
  domain: string | undefined;
  /** The field by ErrorInfo, and by BadRequest. */
  fields: (string | undefined)[];
  retryMs: number | undefined;
}

export function readError(err: unknown): ReadError {
  const error = ConnectError.from(err);
  const [info, ...others] = error.findDetails(ErrorInfoSchema);
  if (others.length > 0) throw new Error("more than one ErrorInfo");
  const violations = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
  const retry = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    code: error.code,
    message: error.rawMessage,
    reason: info?.reason,
    domain: info?.domain,
    fields: [info?.metadata["field"], violations[0]?.field],
    retryMs: retry && durationMs(retry),
  };
}

/** One unary call by @grpc/grpc-js; an error is read from grpc-status-details-bin, as any gRPC client finds it. */
export function callGrpcJs<I extends DescMessage, O extends DescMessage>(
  client: grpc.Client,
  method: DescMethodUnary<I, O>,
  input: MessageInitShape<I>,
  token = "",
): Promise<MessageShape<O>> {
  const metadata = new grpc.Metadata();
  if (token !== "") metadata.set("x-worker-token", token);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      `/${method.parent.typeName}/${method.name}`,
      (value: MessageShape<I>) => Buffer.from(toBinary(method.input, value)),
      (bytes: Buffer) => fromBinary(method.output, bytes),
      create(method.input, input),
      metadata,
      (err, value) => {
        if (err === null && value !== undefined) return resolve(value);
        const bin = err?.metadata?.get("grpc-status-details-bin")[0];
        const headers = new Headers({
          "grpc-status": String(err?.code),
          "grpc-message": encodeURIComponent(err?.details ?? ""),
        });
        if (bin !== undefined) headers.set("grpc-status-details-bin", Buffer.from(bin as Buffer).toString("base64"));
        reject(findTrailerError(headers));
      },
    );
  });
}
