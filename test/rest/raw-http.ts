/** HTTP/1.1 by hand: sends exactly the bytes that it is told to. */
import { once } from "node:events";
import net from "node:net";

export interface RawAnswer {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string>;
  body: Buffer;
}

/** A request's bytes. Header values are Latin-1; a body gets its length unless it is chunked. */
export function requestBytes(request: {
  method: string;
  target: string;
  headers?: [string, string][];
  body?: Buffer | string | undefined;
  chunked?: boolean;
  keepAlive?: boolean;
}): Buffer {
  const body: Buffer | undefined = typeof request.body === "string" ? Buffer.from(request.body) : request.body;
  const lines = [`${request.method} ${request.target} HTTP/1.1`, "Host: h"];
  if (!request.keepAlive) lines.push("Connection: close");
  for (const [name, value] of request.headers ?? []) lines.push(`${name}: ${value}`);
  if (request.chunked) lines.push("Transfer-Encoding: chunked");
  else if (body !== undefined) lines.push(`Content-Length: ${body.length}`);
  const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  if (body === undefined) return head;
  if (!request.chunked) return Buffer.concat([head, body]);
  return Buffer.concat([head, Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from("\r\n0\r\n\r\n")]);
}

export interface Connection {
  socket: net.Socket;
  /** The next answer; one to HEAD has no body. */
  answer(toHead?: boolean): Promise<RawAnswer>;
  /** Resolves when the server has closed. */
  closed: Promise<void>;
}

/** Opens a connection. */
export async function connect(port: number): Promise<Connection> {
  const socket = net.connect(port, "127.0.0.1");
  await once(socket, "connect");
  let seen: Buffer = Buffer.alloc(0);
  let wake = Promise.withResolvers<void>();
  let over = false;
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const tell = () => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  socket.on("data", (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk]);
    tell();
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    over = true;
    tell();
  });

  async function take(length: () => number): Promise<Buffer> {
    for (;;) {
      const size = length();
      if (size >= 0 && seen.length >= size) {
        const taken = seen.subarray(0, size);
        seen = seen.subarray(size);
        return taken;
      }
      if (over) throw new Error(`the connection ended with ${JSON.stringify(seen.toString("latin1"))} unread`);
      await wake.promise;
    }
  }

  return {
    socket,
    closed,
    async answer(toHead = false) {
      const head = await take(() => {
        const end = seen.indexOf("\r\n\r\n");
        return end < 0 ? -1 : end + 4;
      });
      const [first = "", ...lines] = head.toString("latin1").trimEnd().split("\r\n");
      const headers = Object.fromEntries(
        lines.map((line) => {
          const colon = line.indexOf(":");
          return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
        }),
      );
      const status = Number(first.split(" ")[1]);
      const bodyless = toHead || status < 200;
      const body = await take(() => (bodyless ? 0 : Number(headers["content-length"] ?? 0)));
      return { status, headers, body };
    },
  };
}

/** One request, one answer, one connection. */
export async function exchange(port: number, bytes: Buffer, toHead = false): Promise<RawAnswer> {
  const connection = await connect(port);
  connection.socket.write(bytes);
  const answer = await connection.answer(toHead);
  connection.socket.destroy();
  return answer;
}
