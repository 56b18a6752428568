/** A connection that speaks HTTP/2 frame by frame, and counts what comes back. */
import { once } from "node:events";
import net from "node:net";
import { type Frame, PREFACE, parseFrames, settings, TYPE } from "./frames.ts";

export interface RawHttp2 {
  socket: net.Socket;
  /** How many frames of the type have come. */
  got(type: number): number;
  /** The streams that the server has ended: by trailers, by a reset. */
  readonly ended: number;
  /** What may be sent on stream 1 before the server gives more. */
  readonly window: number;
  /** So much of it is sent. */
  spend(bytes: number): void;
  /** Error code of its GOAWAY, if one came. */
  readonly goaway: number | undefined;
  /** Whether the other side has closed. */
  readonly closed: boolean;
  /** Writes, and resolves once there is room for more; at once where the connection is closed. */
  write(bytes: Uint8Array): Promise<void>;
  /** Until a condition of this connection holds. */
  until(what: string, holds: () => boolean): Promise<void>;
  /** Stops reading, so that what the server sends piles up. */
  deaf(): void;
  destroy(): void;
}

/** Of HTTP/2, until a server says otherwise; this one's SETTINGS give more, which nobody here needs. */
const FIRST_WINDOW = 65_535;
const DEADLINE_MS = 30_000;

/** Connects and says the preface, with these SETTINGS. */
export async function rawHttp2(port: number, own: Partial<Record<number, number>> = {}): Promise<RawHttp2> {
  const socket = net.connect(port, "127.0.0.1");
  const counts = new Map<number, number>();
  let rest: Buffer = Buffer.alloc(0);
  let goaway: number | undefined;
  let ended = 0;
  const windows = { connection: FIRST_WINDOW, stream: FIRST_WINDOW };
  const note = ({ type, flags, stream, payload }: Frame) => {
    if (type === TYPE.window) windows[stream === 0 ? "connection" : "stream"] += payload.readUInt32BE(0);
    counts.set(type, (counts.get(type) ?? 0) + 1);
    if (type === TYPE.goaway) goaway = payload.readUInt32BE(4);
    if (type === TYPE.reset || ((type === TYPE.headers || type === TYPE.data) && (flags & 1) === 1)) ended += 1;
  };
  const waits = conditions();
  socket.on("error", () => undefined);
  socket.on("close", waits.look);
  socket.on("data", (chunk: Buffer) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const { frames, taken } = parseFrames(bytes);
    rest = bytes.subarray(taken);
    for (const one of frames) note(one);
    waits.look();
  });
  await once(socket, "connect");
  socket.write(Buffer.concat([PREFACE, settings(own)]));
  return {
    socket,
    got: (type) => counts.get(type) ?? 0,
    get ended() {
      return ended;
    },
    get window() {
      return Math.min(windows.connection, windows.stream);
    },
    spend(bytes) {
      windows.connection -= bytes;
      windows.stream -= bytes;
    },
    get goaway() {
      return goaway;
    },
    get closed() {
      return socket.destroyed || socket.readableEnded;
    },
    write: (bytes) => writeTo(socket, bytes),
    until: waits.until,
    deaf: () => void socket.pause(),
    destroy: () => void socket.destroy(),
  };
}

/** What is waited for: each is looked at again whenever something came. */
function conditions() {
  const open = new Map<() => boolean, () => void>();
  return {
    look() {
      for (const [holds, done] of open) if (holds()) done();
    },
    until: (what: string, holds: () => boolean) =>
      new Promise<void>((resolve, reject) => {
        if (holds()) return resolve();
        const late = setTimeout(() => {
          open.delete(holds);
          reject(new Error(`Waited ${DEADLINE_MS} ms in vain until ${what}.`));
        }, DEADLINE_MS);
        open.set(holds, () => {
          clearTimeout(late);
          open.delete(holds);
          resolve();
        });
      }),
  };
}

/** Writes, and waits where the socket wants it. */
export async function writeTo(socket: net.Socket, bytes: Uint8Array): Promise<void> {
  if (socket.destroyed || !socket.writable) return;
  if (socket.write(bytes)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      socket.off("drain", done).off("close", done);
      resolve();
    };
    socket.on("drain", done).on("close", done);
  });
}
