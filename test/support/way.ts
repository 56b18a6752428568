/** `test` with a way to its Postgres that breaks as networks do, and pools of a broker's on it. */
import net from "node:net";
import { onTestFinished } from "vitest";
import { addressOf } from "../../src/store/address.ts";
import type { Sql } from "../../src/store/db.ts";
import { test as base } from "./db.ts";

/** A way to the test's Postgres whose connections can be reset, and which can be closed. */
export interface Way {
  url: string;
  /** Connections so far, and those that are open. */
  made: number;
  open: number;
  reset(): void;
  /** From now on the connections there are lose what is sent, either way, and nobody is told; new ones get through. */
  mute(): void;
  /** From now on new ones are so once they are made: Postgres takes them, and hangs. */
  hang(): void;
  /** How many have hung so far. */
  hung: number;
  /** Lets new connections wait for Postgres' first word until it is called off. */
  hold(): () => void;
  close(): Promise<void>;
  reopen(): Promise<void>;
}

/** The end of a start-up: ready for a query, in no transaction. */
const READY = Buffer.from("5a0000000549", "hex");

/** Calls back when the start-up is over and the relay has passed that on. */
function onReady(far: net.Socket, ready: () => void): void {
  far.on("data", (bytes: Buffer) => {
    if (bytes.subarray(-READY.length).equals(READY)) setImmediate(ready);
  });
}

/** What a way does before it is there. */
const NOWHERE: Way = {
  url: "",
  made: 0,
  open: 0,
  hung: 0,
  reset: () => undefined,
  mute: () => undefined,
  hang: () => undefined,
  hold: () => () => undefined,
  close: async () => undefined,
  reopen: async () => undefined,
};

/** Two ends of one connection; at `mute` of the near one they lose sight of one another. Call what it returns to join them. */
function relay(near: net.Socket, far: net.Socket): () => void {
  let isMute = false;
  near
    .on("error", () => undefined)
    .on("close", () => {
      if (!isMute) far.destroy();
    });
  far
    .on("error", () => undefined)
    .on("close", () => {
      if (!isMute) near.destroy();
    });
  near.once("mute", () => {
    isMute = true;
    near.unpipe(far).resume();
    far.unpipe(near).resume();
  });
  return () => void near.pipe(far).pipe(near);
}

export const test = base.extend<{ way: Way }>({
  way: async ({ url }, use) => {
    const { url: plain, host } = addressOf(url);
    const target = new URL(plain);
    const port = Number(target.port || 5432);
    const open = new Set<net.Socket>();
    const ends = new Set<net.Socket>();
    let held: (() => void)[] | undefined;
    let hangs = false;
    const way: Way = { ...NOWHERE };
    const server = net.createServer((near) => {
      way.made += 1;
      way.open += 1;
      open.add(near);
      const far = host === undefined ? net.connect(port, target.hostname) : net.connect(`${host}/.s.PGSQL.${port}`);
      ends.add(far);
      near.once("close", () => {
        way.open -= 1;
      });
      const join = relay(near, far);
      if (hangs) {
        onReady(far, () => {
          near.emit("mute");
          way.hung += 1;
        });
      }
      if (held === undefined) join();
      else held.push(join);
    });
    const listen = (at: number) => new Promise<void>((resolve) => server.listen(at, "127.0.0.1", resolve));
    await listen(0);
    const own = (server.address() as net.AddressInfo).port;
    target.hostname = "127.0.0.1";
    target.port = String(own);
    way.url = target.href;
    way.reset = () => {
      for (const near of open) near.resetAndDestroy();
      open.clear();
    };
    way.mute = () => {
      for (const near of open) near.emit("mute");
    };
    way.hang = () => {
      hangs = true;
    };
    way.hold = () => {
      held = [];
      return () => {
        for (const join of held ?? []) join();
        held = undefined;
      };
    };
    way.close = async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      way.reset();
      await closed;
    };
    way.reopen = () => listen(own);
    await use(way);
    way.reset();
    for (const far of ends) far.destroy();
    server.close();
  },
});

export const LIMITS = { statementTimeoutMs: 10_000, lockTimeoutMs: 5_000 };

export function given(pool: Sql): Sql {
  onTestFinished(() => pool.end({ timeout: 0 }));
  return pool;
}

/** So long that the driver writes it at once. */
const PADDING = "x".repeat(2_000);
export const say = async (sql: Sql, text: string) =>
  (await sql`SELECT ${text}::text AS text, ${PADDING}::text AS padding`)[0]?.["text"] as string;
