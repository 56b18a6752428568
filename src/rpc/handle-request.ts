/** One HTTP request, of either version: to the RPC that has its path, else to REST, else an answer that says what is. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  type ConnectRouterOptions,
  createConnectRouter,
  createServiceImplSpec,
} from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { Logger } from "pino";
import type { CallRecorder } from "./call-recorder.ts";
import type { AnyRequest, AnyResponse, Connections } from "./connections.ts";
import type { Cors } from "./cors.ts";
import { uncrowded } from "./crowded.ts";
import { capDeadline } from "./deadline.ts";
import { callValues } from "./drain.ts";
import { describeBug } from "./errors.ts";
import { createGrpcUnary, type GrpcUnary, type GrpcUnaryOptions, isPlainGrpc, READING } from "./grpc-unary.ts";
import { formOfCall, PACKINGS } from "./packing.ts";
import { isGrpc, pathOf, refuseDraining, refuseFault, refuseForm, refuseHost, refuseUnknown } from "./refusals.ts";

/** Answers a request and resolves true, or leaves it untouched and resolves false. */
export type RestHandler = (req: IncomingMessage, res: ServerResponse) => Promise<boolean> | boolean;

export interface RequestHandlerOptions {
  routes: (router: ConnectRouter) => void;
  router: Omit<ConnectRouterOptions, "acceptCompression" | "compressMinBytes" | keyof GrpcUnaryOptions> &
    GrpcUnaryOptions;
  rest: RestHandler;
  /** For the answer to an unknown path. */
  restPaths: readonly string[];
  cors: Cors;
  /** Aborts when the server begins to drain. */
  drain: AbortSignal;
  connections: Connections;
  /** Told of requests that are refused before they are calls. */
  calls: CallRecorder;
  log: Logger;
}

/** The listener for "request" of both servers. It never throws and never rejects. */
export function createRequestHandler(options: RequestHandlerOptions): (req: AnyRequest, res: AnyResponse) => void {
  const { connections, log, calls } = options;
  const router = createConnectRouter({
    ...options.router,
    interceptors: [...options.router.interceptors],
    binaryOptions: READING,
    acceptCompression: PACKINGS,
    // What we send is not compressed: the broker's CPU is dearer than its network, and most clients merely accept it.
    compressMinBytes: 0xffffffff,
  });
  const unary = new Map<string, GrpcUnary>();
  options.routes(withUnary(router, unary, options.router));
  const rpcs = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const served = { services: unique(router.handlers.map((rpc) => rpc.service.typeName)), rest: options.restPaths };

  return (req, res) => {
    // Its stream was reset before we got here: there is nobody to answer, and no event will tell the end.
    if (res.destroyed || ("stream" in req && req.stream.destroyed)) return;
    const done = connections.begin(req, res);
    const closed = new Promise((resolve) => res.once("close", resolve));
    // Its client may be gone while a handler still puts things right, such as the leases of an unsent answer.
    void answer(req, res)
      .catch((err) => {
        const words = "a request failed through a fault of the broker";
        log.error({ path: pathOf(req), reason: "INTERNAL", err: describeBug(err) }, words);
        calls.failed("unknown", "INTERNAL");
        refuseFault(req, res);
      })
      .catch(() => res.destroy())
      .then(() => closed)
      .then(done);
  };

  async function answer(req: AnyRequest, res: AnyResponse): Promise<void> {
    const rpc = rpcs.get(pathOf(req));
    if (rpc !== undefined) {
      if (options.cors(req, res)) return;
      if (refuseForm(req, res, rpc)) return calls.failed(methodOf(rpc), "NOT_SERVED");
      const plain = isPlainGrpc(req) ? unary.get(rpc.requestPath) : undefined;
      if (plain === undefined) return callRpc(rpc, req, res, options);
      return plain(req as Http2ServerRequest, res as Http2ServerResponse, callValues(options.drain, res));
    }
    if (isGrpc(req)) return unknown(req, res);
    if (options.drain.aborted) {
      calls.failed("unknown", "SHUTTING_DOWN");
      return refuseDraining(req, res);
    }
    if (await options.rest(req as IncomingMessage, res as ServerResponse)) return;
    unknown(req, res);
  }

  function unknown(req: AnyRequest, res: AnyResponse): void {
    calls.failed("unknown", "NOT_SERVED");
    refuseUnknown(req, res, served);
  }
}

/** The same router, which also makes a plain gRPC handler of each unary method that it is given. */
function withUnary(router: ConnectRouter, unary: Map<string, GrpcUnary>, options: GrpcUnaryOptions): ConnectRouter {
  return {
    ...router,
    service(service, implementation, own) {
      router.service(service, implementation, own);
      for (const spec of Object.values(createServiceImplSpec(service, implementation).methods)) {
        const path = `/${service.typeName}/${spec.method.name}`;
        if (spec.kind === "unary") unary.set(path, createGrpcUnary(spec, options));
      }
      return this;
    },
  };
}

async function callRpc(rpc: UniversalHandler, req: AnyRequest, res: AnyResponse, options: RequestHandlerOptions) {
  let request: ReturnType<typeof universalRequestFromNodeRequest>;
  try {
    request = universalRequestFromNodeRequest(req, res, undefined, callValues(options.drain, res));
  } catch {
    options.calls.failed(methodOf(rpc), "MALFORMED_REQUEST");
    return refuseHost(req, res);
  }
  capDeadline(request.header);
  try {
    const response = await callUncrowded(rpc, request);
    // Not awaited: it waits for an event that a response never emits. Its failure means that the client is gone.
    universalResponseToNodeResponse(response, res).catch((err) => giveUp(err));
  } catch (err) {
    giveUp(err);
  }

  function giveUp(err: unknown) {
    const { code, message } = ConnectError.from(err);
    options.log.debug({ path: rpc.requestPath, code: Code[code], detail: message }, "an answer could not be sent");
    if (!res.headersSent && !res.writableEnded) refuseFault(req, res);
    else res.destroy();
  }
}

/** The call itself, of messages that may have so many parts as we can read, however they are packed. */
function callUncrowded(rpc: UniversalHandler, request: ReturnType<typeof universalRequestFromNodeRequest>) {
  const isGet = request.method === "GET";
  const type = (isGet ? new URL(request.url).searchParams.get("encoding") : request.header.get("content-type")) ?? "";
  const form = /\bjson\b/i.test(type) ? "json" : rpc.method.input;
  const isEnveloped = /^application\/(grpc|connect)/i.test(type);
  const body = uncrowded(request.body as AsyncIterable<Uint8Array>, form, isEnveloped);
  return formOfCall.run(form, () => rpc({ ...request, body }));
}

/** As it is counted: without the slash of its path. */
function methodOf(rpc: UniversalHandler): string {
  return rpc.requestPath.slice(1);
}

function unique(names: string[]): string[] {
  return [...new Set(names)].sort();
}
