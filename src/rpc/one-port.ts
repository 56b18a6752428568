/** One port for HTTP/1.1 and HTTP/2 without TLS: the first bytes of a connection tell which of the two it speaks. */
import type { Socket } from "node:net";

/** What every HTTP/2 client sends first when it knows beforehand that the server speaks it (gRPC does). */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** First byte of a TLS handshake. */
const TLS_HANDSHAKE = 0x16;

export type Protocol = "http1" | "http2" | "tls";

/** The protocol that these first bytes begin, or undefined while they may still become either. */
export function protocolOf(bytes: Buffer): Protocol | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes[0] === TLS_HANDSHAKE) return "tls";
  const compared = Math.min(bytes.length, PREFACE.length);
  if (!bytes.subarray(0, compared).equals(PREFACE.subarray(0, compared))) return "http1";
  return compared === PREFACE.length ? "http2" : undefined;
}

/**
 * Reads until the protocol is known and gives the socket back with nothing read from it. Resolves with undefined when
 * the client leaves first or lets `timeoutMs` pass; the socket is destroyed then.
 */
export function sniff(socket: Socket, timeoutMs: number): Promise<Protocol | undefined> {
  return new Promise((resolve) => {
    let seen: Buffer = Buffer.alloc(0);
    const timer = setTimeout(giveUp, timeoutMs);
    socket.on("readable", onReadable);
    socket.on("end", giveUp);
    socket.on("close", giveUp);

    function onReadable() {
      const chunk: Buffer | null = socket.read();
      if (chunk === null) return;
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const protocol = protocolOf(seen);
      if (protocol !== undefined) settle(protocol);
    }
    function giveUp() {
      settle(undefined);
      socket.destroy();
    }
    function settle(protocol: Protocol | undefined) {
      clearTimeout(timer);
      socket.off("readable", onReadable);
      socket.off("end", giveUp);
      socket.off("close", giveUp);
      if (protocol !== undefined) socket.unshift(seen);
      resolve(protocol);
    }
  });
}
