/**
 * A socket to Postgres, over TLS where the URL asks for it, ready for the start-up message. The driver could begin TLS
 * itself, but takes all listeners off the socket when it does: whoever is to hear of its end before the driver does cannot.
 */
import net from "node:net";
import tls from "node:tls";
import type postgres from "postgres";

/** The word by which a client asks for TLS; Postgres answers with one letter. */
const SSL_REQUEST = Buffer.from("0000000804d2162f", "hex");
const TAKES_TLS = "S".charCodeAt(0);

type Place = { path: string } | { host: string; port: number };

/** To the first host that takes it, within timeoutMs each. */
export async function connectTo(address: postgres.ParsedOptions, timeoutMs: number): Promise<net.Socket> {
  const { path, host, port } = address;
  if (typeof path === "string" && path !== "") return await connected({ path }, timeoutMs, false);
  const how = howOf(address);
  let fault: unknown;
  for (const [at, name] of host.entries()) {
    try {
      return await connected({ host: name, port: port[at] ?? 5432 }, timeoutMs, how);
    } catch (error) {
      fault = error;
    }
  }
  throw fault;
}

interface Tls {
  options: tls.ConnectionOptions;
  /** Without a word of Postgres' before (sslnegotiation=direct). */
  isDirect: boolean;
  /** sslmode=prefer: plain where Postgres takes no TLS. */
  mayBePlain: boolean;
}

/** By the words of libpq, as the driver reads them; false: plain. */
function howOf({ ssl, ...more }: postgres.ParsedOptions): Tls | false {
  if (!ssl) return false;
  const isDirect = (more as { sslnegotiation?: unknown }).sslnegotiation === "direct";
  const options =
    typeof ssl === "object" ? ssl : { rejectUnauthorized: !["require", "allow", "prefer"].includes(ssl as string) };
  return {
    options: isDirect ? { ...options, ALPNProtocols: ["postgresql"] } : options,
    isDirect,
    mayBePlain: ssl === "prefer",
  };
}

async function connected(to: Place, timeoutMs: number, how: Tls | false): Promise<net.Socket> {
  const where = "path" in to ? to.path : `${to.host}:${to.port}`;
  const plain = net.connect(to);
  const late = faultOf("CONNECT_TIMEOUT", `no connection to ${where} within ${timeoutMs} ms`);
  const timer = setTimeout(() => plain.destroy(late), timeoutMs);
  try {
    await turned(plain, "connect");
    const socket = how === false || !("host" in to) ? plain : await secured(plain, to.host, how);
    // Where the driver looks for the address that its errors name.
    return Object.assign(socket, to);
  } catch (error) {
    plain.destroy();
    if (plain.errored === late) throw late;
    if (plain.connecting || plain.bytesWritten === 0) throw error;
    throw faultOf("TLS_FAILED", `no TLS with Postgres at ${where}: ${(error as Error).message}`, error);
  } finally {
    clearTimeout(timer);
  }
}

async function secured(plain: net.Socket, host: string, how: Tls): Promise<net.Socket> {
  if (!how.isDirect && !(await takesTls(plain))) {
    if (how.mayBePlain) return plain;
    throw new Error("it takes none, and the URL asks for it; mend one of them, or sslmode in the URL");
  }
  // By `host` the certificate is judged; as a name to be told TLS forbids a number.
  const servername = net.isIP(host) === 0 ? { servername: host } : {};
  const socket = tls.connect({ socket: plain, host, ...servername, ...how.options });
  await turned(socket, "secureConnect");
  return socket;
}

async function takesTls(plain: net.Socket): Promise<boolean> {
  const answer = turned<Buffer>(plain, "data");
  plain.write(SSL_REQUEST);
  return (await answer)[0] === TAKES_TLS;
}

/** When the event comes, with what it brings; or the end of the socket, as a fault. */
function turned<T>(socket: net.Socket, event: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const done = (value: T) => {
      socket.off("error", reject).off("close", ended);
      resolve(value);
    };
    const ended = () => reject(faultOf("CONNECTION_ENDED", "it has closed the connection"));
    socket.once("error", reject).once("close", ended).once(event, done);
  });
}

function faultOf(code: string, text: string, cause?: unknown): Error {
  return Object.assign(new Error(text, { cause }), { code });
}
