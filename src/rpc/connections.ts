/** Which connection has which requests under way: what a drain needs to know to cut nobody off. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse, Http2Session } from "node:http2";
import type { Socket } from "node:net";

export type AnyRequest = IncomingMessage | Http2ServerRequest;
export type AnyResponse = ServerResponse | Http2ServerResponse;

export interface Connections {
  /** Takes part in a drain from now until it closes. */
  add(socket: Socket): void;
  /** It turned out to speak HTTP/2, by this session. */
  speaksHttp2(socket: Socket, session: Http2Session): void;
  /** No longer takes part: another socket stands for it. */
  remove(socket: Socket): void;
  /** A request begins; call what it returns once its answer is out (or given up) and its handler is done. */
  begin(request: AnyRequest, response: AnyResponse): () => void;
  /** Requests under way. */
  readonly inFlight: number;
  /** Ends idle connections now and each other one after its last request. */
  drain(): void;
  /** Resolves when no connection is left. */
  empty(): Promise<void>;
  destroyAll(): void;
}

interface Connection {
  session: Http2Session | undefined;
  responses: Set<AnyResponse>;
}

/** An ended connection whose client does not close its side is given this long. */
const LINGER_MS = 1_000;

export function trackConnections(): Connections {
  const open = new Map<Socket, Connection>();
  const sockets = new WeakMap<Http2Session, Socket>();
  let inFlight = 0;
  let draining = false;
  let onEmpty: (() => void)[] = [];

  const endIfIdle = (socket: Socket) => {
    const connection = open.get(socket);
    if (connection?.responses.size === 0) end(socket, connection.session);
  };
  const forget = (socket: Socket) => {
    open.delete(socket);
    if (open.size > 0) return;
    for (const resolve of onEmpty) resolve();
    onEmpty = [];
  };

  return {
    get inFlight() {
      return inFlight;
    },
    add(socket) {
      open.set(socket, { session: undefined, responses: new Set() });
      socket.once("close", () => forget(socket));
      if (draining) endIfIdle(socket);
    },
    speaksHttp2(socket, session) {
      sockets.set(session, socket);
      const connection = open.get(socket);
      if (connection !== undefined) connection.session = session;
    },
    remove: forget,
    begin(request, response) {
      const session = "stream" in request ? request.stream.session : undefined;
      const socket = session ? sockets.get(session) : request.socket;
      const connection = socket && open.get(socket);
      inFlight += 1;
      connection?.responses.add(response);
      if (draining && connection !== undefined) announceEnd(connection, response);
      let done = false;
      return () => {
        if (done) return;
        done = true;
        inFlight -= 1;
        connection?.responses.delete(response);
        if (draining && socket !== undefined) endIfIdle(socket);
      };
    },
    drain() {
      if (draining) return;
      draining = true;
      for (const [socket, connection] of [...open]) {
        for (const response of connection.responses) announceEnd(connection, response);
        endIfIdle(socket);
      }
    },
    empty: () => (open.size === 0 ? Promise.resolve() : new Promise((resolve) => onEmpty.push(resolve))),
    destroyAll() {
      for (const socket of [...open.keys()]) socket.destroy();
    },
  };
}

/** HTTP/2: GOAWAY, only now, since some clients drop the calls of a session that said it. HTTP/1.1: the end. */
function end(socket: Socket, session: Http2Session | undefined): void {
  if (session === undefined) socket.destroySoon();
  else session.close();
  const linger = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(linger));
}

/** HTTP/1.1 clients are told not to use the connection again. */
function announceEnd(connection: Connection, response: AnyResponse): void {
  if (connection.session === undefined && !response.headersSent) response.setHeader("connection", "close");
}
