/** Raw connections, for what no decent client sends. */
import net from "node:net";

export interface RawSocket {
  socket: net.Socket;
  /** Everything received so far. */
  text(): string;
  /** Resolves with everything received once the other side has closed. */
  closed: Promise<string>;
}

/** Connects to a port of this machine and sends the bytes, if any. */
export async function rawSocket(port: number, bytes?: string | Uint8Array): Promise<RawSocket> {
  const socket = net.connect(port, "127.0.0.1");
  const chunks: Buffer[] = [];
  const text = () => Buffer.concat(chunks).toString("latin1");
  const closed = new Promise<string>((resolve) => socket.on("close", () => resolve(text())));
  // A reset by the other side is one way of closing.
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => socket.once("connect", resolve));
  if (bytes !== undefined) socket.write(bytes);
  return { socket, text, closed };
}
