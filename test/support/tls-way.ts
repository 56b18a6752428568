/** A way to Postgres over TLS: it ends in front of a plain one, and breaks and falls silent as that one does. */
import net from "node:net";
import tls from "node:tls";
import { onTestFinished } from "vitest";
import { type Pem, selfSigned } from "./self-signed.ts";

/** The word by which a client asks for TLS; it is answered with one letter. */
const SSL_REQUEST = Buffer.from("0000000804d2162f", "hex");

/** The URL of one to the plain way of this URL. */
export async function tlsWayTo(plain: string, pem: Pem = selfSigned()): Promise<string> {
  const context = tls.createSecureContext(pem);
  const target = new URL(plain);
  const { port, hostname } = target;
  const sockets = new Set<net.Socket>();
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    sockets.add(near).add(far);
    near.on("error", () => undefined).on("close", () => far.destroy());
    far.on("error", () => undefined).on("close", () => near.resetAndDestroy());
    near.once("data", (word: Buffer) => {
      if (word.equals(SSL_REQUEST)) near.write("S");
      // It began at once (sslnegotiation=direct).
      else near.pause().unshift(word);
      const secure = new tls.TLSSocket(near, { isServer: true, secureContext: context });
      secure.on("error", () => near.destroy()).pipe(far);
      far.pipe(secure);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  target.port = String((server.address() as net.AddressInfo).port);
  target.searchParams.set("sslmode", "require");
  return target.href;
}
