/** The HTTP/1.1 and the HTTP/2 server behind the one port. */
import http from "node:http";
import http2 from "node:http2";
import type net from "node:net";
import type tls from "node:tls";
import type { Logger } from "pino";
import type { AnyRequest, AnyResponse, Connections } from "./connections.ts";
import { sniff } from "./one-port.ts";
import type { ServerLimits } from "./server-limits.ts";

export interface Protocols {
  /** Takes a new connection whose bytes, or whose ALPN, say what it speaks. */
  take(socket: net.Socket): void;
  close(): void;
}

/** The two servers behind the port. Neither listens; they get their connections handed. */
export function startProtocols(
  onRequest: (req: AnyRequest, res: AnyResponse) => void,
  limits: ServerLimits,
  connections: Connections,
  log: Logger,
): Protocols {
  const http1 = http.createServer(
    {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      connectionsCheckingInterval: limits.timeoutCheckMs,
      keepAliveTimeout: limits.keepAliveMs,
    },
    onRequest,
  );
  // A server that does not listen itself starts to enforce its timeouts only when it believes that it does.
  http1.emit("listening");
  const h2 = http2.createServer(
    {
      maxSessionMemory: limits.maxSessionMemoryMb,
      settings: { maxConcurrentStreams: limits.maxConcurrentStreams, initialWindowSize: 256 * 1024 },
    },
    onRequest,
  );
  let handed: net.Socket | undefined;
  h2.on("session", (session) => handed !== undefined && connections.speaksHttp2(handed, session));
  h2.on("sessionError", (err) => log.debug({ detail: err.message }, "an HTTP/2 connection failed"));

  const begin = {
    http1(socket: net.Socket) {
      http1.emit("connection", socket);
    },
    http2(socket: net.Socket) {
      handed = socket;
      h2.emit("connection", socket); // Emits its session before it returns.
      handed = undefined;
    },
    tls(socket: net.Socket) {
      log.debug("a client spoke TLS to a port without it; its connection was closed");
      socket.destroy();
    },
  };
  return {
    take(socket) {
      // Connections break at any time; whoever speaks over them sees it by "close".
      socket.on("error", (err) => log.debug({ detail: err.message }, "a connection failed"));
      connections.add(socket);
      const agreed = (socket as tls.TLSSocket).alpnProtocol;
      if (agreed === "h2") return begin.http2(socket);
      if (agreed === "http/1.1") return begin.http1(socket);
      void sniff(socket, limits.prefaceTimeoutMs).then((protocol) => protocol !== undefined && begin[protocol](socket));
    },
    close: () => void http1.close(),
  };
}
