/** One HTTP/2 connection to a broker, made when it is needed and made again once it was lost. */
import { type ClientHttp2Session, connect } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import type { createGrpcTransport } from "@connectrpc/connect-node";

type Http2Session = NonNullable<Parameters<typeof createGrpcTransport>[0]["sessionManager"]>;

export interface Session extends Http2Session {
  /** Ends the connection; calls under way fail. */
  abort(): void;
}

interface Opened {
  http2: ClientHttp2Session;
  connected: Promise<void>;
}

/**
 * A connection for createGrpcTransport. Connect's own manager takes its ear off a session that has failed, and where
 * no HTTP/2 server answers a session fails twice: the second error would end the process with a stack.
 */
export function openSession(url: string, options: { rejectUnauthorized?: boolean } = {}): Session {
  const authority = new URL(url).origin;
  let current: Opened | undefined;

  function open(): Opened {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const http2 = connect(authority, options, () => resolve());
    http2.on("error", (error) =>
      reject(new ConnectError(error.message, Code.Unavailable, undefined, undefined, error)),
    );
    http2.on("close", () => reject(new ConnectError("the connection was closed", Code.Unavailable)));
    return { http2, connected: promise };
  }

  return {
    authority,
    async request(method, path, headers, streamOptions) {
      if (current === undefined || current.http2.closed || current.http2.destroyed) current = open();
      const { http2, connected } = current;
      await connected;
      return http2.request({ ...headers, ":method": method, ":path": path }, streamOptions);
    },
    notifyResponseByteRead: () => undefined,
    abort: () => current?.http2.destroy(),
  };
}
