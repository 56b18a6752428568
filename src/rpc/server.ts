/** The one port: gRPC, gRPC-Web, Connect and REST, with or without TLS, and the way to stop it without cutting a call. */
import type { Server, Socket } from "node:net";
import { Code, type ConnectRouter, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import type { Reason } from "../errors.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import type { Gate } from "./auth.ts";
import { type CallRecorder, NO_CALLS } from "./call-recorder.ts";
import { type Connections, trackConnections } from "./connections.ts";
import { createCors } from "./cors.ts";
import { toConnectError } from "./errors.ts";
import { sentHeader } from "./grpc-context.ts";
import { createRequestHandler, type RestHandler } from "./handle-request.ts";
import { changeTls, createListener, listen } from "./listen.ts";
import { completeErrors, reasonIn } from "./own-errors.ts";
import { startProtocols } from "./protocols.ts";
import { DEFAULT_LIMITS, type ServerLimits } from "./server-limits.ts";
import { ShutdownSignal } from "./shutdown-signal.ts";
import { createStop, shuttingDown } from "./stop.ts";
import { readTls, type TlsFiles, type TlsTexts } from "./tls-files.ts";
import { createTlsReload, type TlsReload } from "./tls-reload.ts";

export interface ServerOptions {
  /** Address to bind, for example 127.0.0.1. */
  host: string;
  /** 0 picks a free one. */
  port: number;
  /** PEM texts; absent: no TLS. */
  tls?: TlsTexts | undefined;
  /** The same as files, which are taken over anew when they change. */
  tlsFiles?: TlsFiles | undefined;
  routes: (router: ConnectRouter) => void;
  /** Gets every request whose path is no RPC's, but gRPC ones. */
  rest?: RestHandler;
  /** The paths that `rest` serves, for the answer to an unknown path. */
  restPaths?: readonly string[];
  /** Origins whose browser pages may call the RPCs; * for any; default none. */
  corsOrigins?: readonly string[];
  /** Who may call what; runs before a request's body is read. */
  gate: Gate;
  interceptors?: Interceptor[];
  /** Told of the errors that no interceptor sees. */
  calls?: CallRecorder;
  /** A larger message is RESOURCE_EXHAUSTED; keep it above the limits that handlers check. */
  maxMessageBytes: number;
  log: Logger;
  limits?: Partial<ServerLimits>;
}

export interface RunningServer {
  /** The port it really has. */
  port: number;
  /** For clients on this machine, for example http://127.0.0.1:50051. */
  url: string;
  /** Requests under way. */
  readonly inFlight: number;
  /** From now on new calls are refused (SHUTTING_DOWN) but health's, and open-ended streams end. Closes nothing. */
  drain(): void;
  /** Looks whether `tlsFiles` have changed, beside the watch on them. */
  lookAtTls(): Promise<void>;
  /**
   * Drains, accepts nobody, lets calls finish and closes each connection after its last one. What is left after
   * graceMs is aborted, then destroyed. Resolves true when nothing was cut off. A second call can only shorten the
   * time and gets the same answer.
   */
  stop(graceMs: number): Promise<boolean>;
}

/** Starts to listen. Rejects with a readable Error where the address cannot be had. */
export async function startServer(given: ServerOptions): Promise<RunningServer> {
  const options = given.tlsFiles === undefined ? given : { ...given, tls: await readTls(given.tlsFiles) };
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const connections = trackConnections();
  const draining = new AbortController();
  const shutdown = new ShutdownSignal();

  const onRequest = createRequestHandler({
    routes: options.routes,
    router: {
      interceptors: options.interceptors ?? [],
      readMaxBytes: options.maxMessageBytes,
      // A misspelt filter or field in JSON would otherwise be dropped in silence, and the call do something else.
      jsonOptions: { ignoreUnknownFields: false },
      shutdownSignal: shutdown.signal,
      requestGate: (context) => admit(context, options, draining.signal),
    },
    rest: options.rest ?? (() => false),
    restPaths: options.restPaths ?? [],
    cors: createCors(options.corsOrigins ?? []),
    drain: draining.signal,
    connections,
    calls: options.calls ?? NO_CALLS,
    log: options.log,
  });
  const protocols = startProtocols(onRequest, limits, connections, options.log);
  const { listener, address } = await open(options, limits, protocols.take, connections).catch((err) => {
    protocols.close();
    throw err;
  });
  // An accept that failed (no file descriptors left) must not end the process.
  listener.on("error", (err) => options.log.error({ detail: err.message }, "a connection could not be accepted"));

  const drain = () => draining.abort();
  const reload = followTls(options, listener);
  const stop = createStop({ drain, listener, connections, shutdown, close: protocols.close });
  return {
    port: address.port,
    url: `${options.tls ? "https" : "http"}://${address.reachable}:${address.port}`,
    get inFlight() {
      return connections.inFlight;
    },
    drain,
    lookAtTls: async () => reload?.look(),
    stop: (graceMs) => {
      reload?.stop();
      return stop(graceMs);
    },
  };
}

function followTls({ tlsFiles: files, tls: loaded, log }: ServerOptions, listener: Server): TlsReload | undefined {
  if (files === undefined || loaded === undefined) return undefined;
  return createTlsReload({ files, loaded, apply: (texts) => changeTls(listener, texts), log });
}

/** The gate, and after it the drain; a refusal has its line in the log, as every other call has. */
function admit(context: HandlerContext, options: ServerOptions, draining: AbortSignal): void {
  const { gate, log, calls = NO_CALLS } = options;
  const refused = (code: Code, reason: Reason) => {
    const method = `${context.service.typeName}/${context.method.name}`;
    calls.failed(method, reason);
    log.debug({ method, code: Code[code], reason }, "call refused");
  };
  completeErrors(context.signal, context.method.methodKind === "bidi_streaming", refused);
  try {
    const requestHeader = { get: (name: string) => sentHeader(context, name) };
    gate({ service: context.service, method: context.method, requestHeader });
    if (draining.aborted && context.service.typeName !== Health.typeName) throw toConnectError(shuttingDown());
  } catch (err) {
    const known = toConnectError(err);
    refused(known.code, reasonIn(known));
    throw err;
  }
}

async function open(options: ServerOptions, limits: ServerLimits, take: (socket: Socket) => void, known: Connections) {
  const listener = createListener({ tls: options.tls, limits, take, connections: known, log: options.log });
  return { listener, address: await listen(listener, options.host, options.port) };
}
