/** A port with TLS speaks no version of it that is broken, and nothing to a client that wants no certificate checked. */
import { once } from "node:events";
import tls from "node:tls";
import { expect, test } from "vitest";
import { fakeServer } from "../support/fake-services.ts";
import { selfSigned } from "../support/self-signed.ts";

const pair = selfSigned();

/** The version that is agreed on, or the code of the refusal. */
async function agreed(port: number, version: tls.SecureVersion): Promise<string> {
  const socket = tls.connect({
    port,
    host: "127.0.0.1",
    ca: pair.cert,
    servername: "localhost",
    minVersion: version,
    maxVersion: version,
    // What this client's own OpenSSL would not even offer.
    ciphers: "DEFAULT@SECLEVEL=0",
  });
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.once("secureConnect", () => resolve(socket.getProtocol() ?? ""));
  socket.once("error", (err: NodeJS.ErrnoException) => resolve(`refused: ${err.code}`));
  const said = await promise;
  socket.destroy();
  if (!socket.closed) await once(socket, "close");
  return said;
}

test("TLS 1.2 and 1.3 are spoken, and nothing older", async () => {
  await using server = await fakeServer({ tls: pair });
  expect(await agreed(server.port, "TLSv1.3")).toBe("TLSv1.3");
  expect(await agreed(server.port, "TLSv1.2")).toBe("TLSv1.2");
  expect(await agreed(server.port, "TLSv1.1")).toMatch(/^refused: /);
  expect(await agreed(server.port, "TLSv1")).toMatch(/^refused: /);
});
