/** Answers to requests that reach no handler, in the form that their protocol reads: gRPC's trailers, or JSON. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { errorToJson } from "@connectrpc/connect/protocol-connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { Reason } from "../errors.ts";
import type { AnyRequest, AnyResponse } from "./connections.ts";
import { errorInfo, toConnectError } from "./errors.ts";
import { shuttingDown } from "./stop.ts";

export interface Served {
  /** Full names. */
  services: readonly string[];
  /** Paths of the REST side. */
  rest: readonly string[];
}

const TYPES = "application/json, application/proto, application/grpc or application/grpc-web";

/** Nothing is served at this path: 404, or gRPC's UNIMPLEMENTED, with a list of what is. */
export function refuseUnknown(req: AnyRequest, res: AnyResponse, served: Served): void {
  const message = `nothing is served at ${req.method ?? ""} ${pathOf(req).slice(0, 200)}`;
  const forGrpc = `${message}; the services here are ${served.services.join(", ")}`;
  const hint = "RPCs: POST /<service>/<method>; their methods: grpcurl -plaintext HOST:PORT describe <service>";
  const text = isGrpc(req) ? forGrpc : message;
  refuse(req, res, 404, error("NOT_SERVED", text, Code.Unimplemented), { ...served, hint });
}

/** Answers a request that the method's protocols would refuse without a word, and tells whether it did. */
export function refuseForm(req: AnyRequest, res: AnyResponse, rpc: UniversalHandler): boolean {
  const { method = "", httpVersionMajor } = req;
  const type = req.headers["content-type"] ?? "";
  const unserved = (status: number, text: string) => {
    refuse(req, res, status, error("NOT_SERVED", text, Code.Unimplemented));
    return true;
  };
  if (httpVersionMajor < 2 && rpc.method.methodKind === "bidi_streaming") {
    // Who expected a stream in both directions may wait for ever on this connection.
    res.setHeader("connection", "close");
    return unserved(505, `${rpc.method.name} streams both ways and needs HTTP/2: use a gRPC client`);
  }
  if (!rpc.allowedMethods.includes(method)) {
    res.setHeader("allow", rpc.allowedMethods.join(", "));
    return unserved(405, `${rpc.method.name} is not to be had by ${method}: send ${rpc.allowedMethods.join(" or ")}`);
  }
  // Connect says that it supports gRPC-Web as text, and then refuses it.
  const isText = type.startsWith("application/grpc-web-text");
  if ((method === "GET" && type === "") || (rpc.supportedContentType(type) && !isText)) return false;
  return unserved(415, `the content type ${JSON.stringify(type.slice(0, 80))} is not read here: send ${TYPES}`);
}

/** A request whose URL cannot be put together. */
export function refuseHost(req: AnyRequest, res: AnyResponse): void {
  const text = "the request has no valid host: send Host (HTTP/1.1) or :authority";
  refuse(req, res, 400, error("MALFORMED_REQUEST", text, Code.InvalidArgument));
}

/** REST while the server stops; the legacy worker's next poll finds its successor. */
export function refuseDraining(req: AnyRequest, res: AnyResponse): void {
  res.setHeader("retry-after", "1");
  const err = toConnectError(shuttingDown());
  refuse(req, res, 503, err, { detail: err.rawMessage, reason: "SHUTTING_DOWN" });
}

/** A method that a page of ours does not have. */
export function refuseMethod(req: AnyRequest, res: AnyResponse, allowed: readonly string[]): void {
  res.setHeader("allow", allowed.join(", "));
  const text = `${pathOf(req)} is not to be had by ${req.method ?? ""}: send ${allowed.join(" or ")}`;
  refuse(req, res, 405, error("NOT_SERVED", text, Code.Unimplemented));
}

const GATE_STATUS: Partial<Record<Code, number>> = {
  [Code.Unauthenticated]: 401,
  [Code.PermissionDenied]: 403,
  [Code.Unavailable]: 503,
};

/** A caller that the gate does not let in, on a path that is no RPC's. */
export function refuseByGate(req: AnyRequest, res: AnyResponse, err: ConnectError): void {
  if (err.code === Code.Unauthenticated) res.setHeader("www-authenticate", "Bearer");
  refuse(req, res, GATE_STATUS[err.code] ?? 500, err);
}

/** A fault of ours, which is in the log. */
export function refuseFault(req: AnyRequest, res: AnyResponse): void {
  if (res.headersSent) return void res.destroy();
  const err = toConnectError(undefined);
  refuse(req, res, 500, err, { detail: err.rawMessage });
}

/** The path without its query. */
export function pathOf(req: AnyRequest): string {
  return (req.url ?? "").split("?", 1)[0] ?? "";
}

/** gRPC and gRPC-Web. */
export function isGrpc(req: AnyRequest): boolean {
  return (req.headers["content-type"] ?? "").startsWith("application/grpc");
}

function error(reason: Reason, message: string, code: Code): ConnectError {
  return new ConnectError(message.toWellFormed(), code, undefined, [errorInfo(reason)]);
}

/** gRPC reads its status, and only where HTTP says 200; all others read JSON, which Connect's clients know too. */
function refuse(req: AnyRequest, res: AnyResponse, status: number, err: ConnectError, more: object = {}): void {
  if (isGrpc(req)) {
    const headers = setTrailerStatus(new Headers({ "content-type": req.headers["content-type"] ?? "" }), err);
    write(res, 200, headers);
    return void res.end();
  }
  const json = errorToJson(err, undefined) as object;
  write(res, status, new Headers({ "content-type": "application/json" }));
  res.end(`${JSON.stringify({ ...json, ...more })}\n`);
}

// The two classes have writeHead in incompatible overloads.
function write(res: AnyResponse, status: number, headers: Headers): void {
  res.statusCode = status;
  for (const [name, value] of headers) res.setHeader(name, value);
}
