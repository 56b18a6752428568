/** Many connections at a time: opened together, fed a byte at a time, and let go. */
import net from "node:net";
import { until } from "../support/until.ts";
import type { HostileBroker } from "./hostile-broker.ts";
import { FULL, sized } from "./size.ts";

const BATCH = 200;

/** So many connections, each of which has sent these bytes and stays. */
export async function crowd(broker: HostileBroker, many: number, bytes: Uint8Array | string): Promise<net.Socket[]> {
  const sockets: net.Socket[] = [];
  while (sockets.length < many) {
    const batch = Array.from({ length: Math.min(BATCH, many - sockets.length) }, () => opened(broker.port, bytes));
    sockets.push(...(await Promise.all(batch)));
  }
  return sockets;
}

/** One of them. */
export function opened(port: number, bytes: Uint8Array | string): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject).on("error", () => undefined);
      socket.write(bytes, () => resolve(socket));
    });
    socket.resume();
  });
}

export const leave = (sockets: readonly net.Socket[]) => () => {
  for (const socket of sockets) socket.destroy();
};

const TICK_MS = 20;
/** Between two bytes on one connection. */
export const PACE_MS = sized(TICK_MS, 1_000);

export interface Drip {
  /** Bytes on each connection so far. */
  readonly sent: number;
  /** Ends it, and the connections with it. */
  stop(): void;
}

/** Sends each connection a byte, or what `next` makes of one, at that pace; not to all of them in the same moment. */
export function drip(sockets: readonly net.Socket[], next: (at: number) => Uint8Array): Drip {
  const turns = PACE_MS / TICK_MS;
  let tick = 0;
  const timer = setInterval(() => {
    const bytes = next(Math.floor(tick / turns));
    for (let at = tick % turns; at < sockets.length; at += turns) {
      if (sockets[at]?.writable) sockets[at]?.write(bytes);
    }
    tick += 1;
  }, TICK_MS);
  return {
    get sent() {
      return Math.floor(tick / turns);
    },
    stop() {
      clearInterval(timer);
      leave(sockets)();
    },
  };
}

/** The bytes one by one, and from the start again. */
export const bytesOf =
  (bytes: Buffer) =>
  (at: number): Uint8Array =>
    bytes.subarray(at % bytes.length, (at % bytes.length) + 1);

/**
 * Drips for as long as the attack stands; in full until the broker's own time limit has closed every one of them, which
 * must come to pass within so many milliseconds.
 */
export async function dripToTheEnd(
  sockets: readonly net.Socket[],
  next: (at: number) => Uint8Array,
  withinMs: number,
): Promise<undefined | (() => void)> {
  const dripping = drip(sockets, next);
  if (!FULL) return dripping.stop;
  const isOver = () => sockets.every(({ closed }) => closed);
  await until("the broker has closed every slow connection", isOver, withinMs).finally(dripping.stop);
  return undefined;
}

/** Drips for a while that a slow sender of the pace needs for some dozen bytes. For what has no time limit. */
export async function dripOn(sockets: readonly net.Socket[], next: (at: number) => Uint8Array): Promise<() => void> {
  const dripping = drip(sockets, next);
  await until("each has had its bytes", () => dripping.sent >= sized(5, 30), 120_000);
  return dripping.stop;
}
