/** One HTTP/2 connection to a broker, made when it is needed and made again once it was lost. */
import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect, type SecureClientSessionOptions } from "node:http2";
import { createSecureContext } from "node:tls";
import { Code, ConnectError } from "@connectrpc/connect";
import type { createGrpcTransport } from "@connectrpc/connect-node";
import type { ClientConfig } from "../config.ts";
import { CliError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";

type Http2Session = NonNullable<Parameters<typeof createGrpcTransport>[0]["sessionManager"]>;

type ConnectOptions = Pick<SecureClientSessionOptions, "rejectUnauthorized" | "cert" | "key">;

/** What BROKER_CERT_FILE and BROKER_KEY_FILE hold, for a broker that asks for a client's certificate. */
export function clientCertificate(config: Pick<ClientConfig, "brokerCertFile" | "brokerKeyFile">): ConnectOptions {
  const { brokerCertFile, brokerKeyFile } = config;
  if (brokerCertFile === undefined && brokerKeyFile === undefined) return {};
  if (brokerCertFile === undefined || brokerKeyFile === undefined) {
    throw new CliError(EXIT.usage, "BROKER_CERT_FILE and BROKER_KEY_FILE go together: set both, or none");
  }
  const pair = { cert: readFileSync(brokerCertFile), key: readFileSync(brokerKeyFile) };
  if (isPair(pair)) return pair;
  const words =
    "BROKER_CERT_FILE and BROKER_KEY_FILE are no pair: give a PEM certificate and its key without a password";
  throw new CliError(EXIT.usage, words);
}

function isPair(pair: { cert: Buffer; key: Buffer }): boolean {
  try {
    createSecureContext(pair);
    return true;
  } catch {
    return false;
  }
}

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
export function openSession(url: string, options: ConnectOptions = {}): Session {
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
