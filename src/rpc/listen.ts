/** The listening side of the port: with or without TLS, bound to an address, or words on why it cannot be. */
import net, { type AddressInfo, type Server } from "node:net";
import tls from "node:tls";
import type { Logger } from "pino";
import type { Connections } from "./connections.ts";
import type { ServerLimits } from "./server-limits.ts";
import type { TlsTexts } from "./tls-files.ts";

export interface ListenerOptions {
  tls: TlsTexts | undefined;
  limits: ServerLimits;
  /** Gets each connection, under TLS once its handshake is done. */
  take: (socket: net.Socket) => void;
  connections: Connections;
  log: Logger;
}

/** A server that does not listen yet. Throws a readable Error where the certificate or key cannot be used. */
export function createListener(options: ListenerOptions): net.Server {
  const { limits, take, log } = options;
  const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 };
  if (options.tls === undefined) {
    const server = net.createServer(socketOptions, take);
    server.maxConnections = limits.maxConnections;
    return server;
  }
  try {
    const server = tls.createServer(
      {
        ...socketOptions,
        ...secureContext(options.tls),
        requestCert: options.tls.clientCa !== undefined,
        rejectUnauthorized: true,
        ALPNProtocols: ["h2", "http/1.1"],
        handshakeTimeout: limits.prefaceTimeoutMs,
      },
      take,
    );
    server.on("tlsClientError", (err, socket) => {
      // A certificate that was refused is told on the socket; the error says only that the socket was closed.
      log.debug({ detail: socket.authorizationError || err.message }, "a TLS handshake failed");
      socket.destroy(); // A handshake that timed out leaves it open.
    });
    server.maxConnections = limits.maxConnections;
    trackHandshakes(server, options.connections);
    return server;
  } catch (err) {
    const text = `the TLS certificate or key cannot be used (${(err as Error).message}); both must be PEM and a pair`;
    throw new Error(text, { cause: err });
  }
}

/** For new connections, those that are open keep theirs. Throws where the texts cannot be used. */
export function changeTls(server: net.Server, texts: TlsTexts): void {
  (server as tls.Server).setSecureContext(secureContext(texts));
}

function secureContext({ cert, key, clientCa }: TlsTexts): tls.SecureContextOptions {
  return { cert, key, ...(clientCa === undefined ? {} : { ca: clientCa }) };
}

/** A stop must also end connections that never finish their handshake. Their addresses tell which one has. */
function trackHandshakes(server: tls.Server, connections: Connections): void {
  const pending = new Map<string, net.Socket>();
  const key = (socket: net.Socket) => `${socket.remoteAddress} ${socket.remotePort}`;
  server.on("connection", (socket) => {
    const name = key(socket);
    pending.set(name, socket);
    connections.add(socket);
    socket.once("close", () => pending.get(name) === socket && pending.delete(name));
  });
  server.on("secureConnection", (secured) => {
    const socket = pending.get(key(secured));
    if (socket === undefined) return;
    pending.delete(key(secured));
    connections.remove(socket);
  });
}

export interface Listening {
  port: number;
  /** The host under which clients on this machine reach it, in the form a URL takes. */
  reachable: string;
}

/** Port 0 picks a free one. Rejects with an Error that names the address, what is wrong and what to do. */
export function listen(server: Server, host: string, port: number): Promise<Listening> {
  return new Promise((resolve, reject) => {
    const onError = (err: NodeJS.ErrnoException) => {
      reject(new Error(explain(err, host, port), { cause: err }));
    };
    server.once("error", onError);
    server.listen({ host, port }, () => {
      server.off("error", onError);
      resolve({ port: (server.address() as AddressInfo).port, reachable: reachable(host) });
    });
  });
}

function explain(err: NodeJS.ErrnoException, host: string, port: number): string {
  const what = `cannot listen on ${host} port ${port} (${err.code ?? err.message})`;
  switch (err.code) {
    case "EADDRINUSE":
      return `${what}: another program uses this port. Stop it, or set PORT to another one (0 picks a free one).`;
    case "EACCES":
      return `${what}: this user may not open that port. Set PORT to 1024 or above.`;
    case "EADDRNOTAVAIL":
      return `${what}: this machine has no such address. Set HOST to one it has, such as 127.0.0.1, or 0.0.0.0 for all.`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `${what}: no address is known for that name. Set HOST to an address of this machine.`;
    default:
      return `${what}. Check HOST and PORT.`;
  }
}

function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}
