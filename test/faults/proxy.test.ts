/** The network of the fault programme does to bytes what it says, and nothing else. */
import { once } from "node:events";
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from "node:net";
import { test as base, expect, onTestFinished, vi } from "vitest";
import { until } from "../support/until.ts";
import { Link } from "./proxy.ts";

interface Fixtures {
  /** Answers each piece with `re:` and the piece. */
  server: { port: number; got: string[]; open: () => number };
  link: Link;
  /** A connection through the link, with what came over it. */
  open: () => Promise<{ socket: Socket; got: () => string; ended: () => string | undefined }>;
}

const test = base.extend<Fixtures>({
  server: async ({}, use) => {
    const got: string[] = [];
    const sockets = new Set<Socket>();
    const server: Server = createServer((socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      socket.on("error", () => undefined);
      socket.on("data", (bytes) => {
        got.push(String(bytes));
        socket.write(`re:${bytes}`);
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    await use({ port: (server.address() as AddressInfo).port, got, open: () => sockets.size });
    for (const socket of sockets) socket.destroy();
    server.close();
  },
  link: async ({ server }, use) => {
    const link = await Link.open({ name: "x>y", to: { port: server.port } });
    await use(link);
    await link.close();
  },
  open: async ({ link }, use) => {
    const sockets: Socket[] = [];
    await use(async () => {
      const socket = dial(link.port, "127.0.0.1");
      sockets.push(socket);
      const state = { got: "", ended: undefined as string | undefined };
      socket.on("data", (bytes) => {
        state.got += String(bytes);
      });
      socket.on("error", (error: NodeJS.ErrnoException) => {
        state.ended = error.code;
      });
      socket.on("close", () => {
        state.ended ??= "closed";
      });
      const { promise, resolve } = Promise.withResolvers<void>();
      socket.once("connect", resolve).once("close", () => resolve());
      await promise;
      return { socket, got: () => state.got, ended: () => state.ended };
    });
    for (const socket of sockets) socket.destroy();
  },
});

test("bytes pass both ways, in their order, also late", async ({ link, open }) => {
  const { socket, got } = await open();
  link.delay(30);
  const since = performance.now();
  socket.write("a");
  await until("the answer is there", () => got() === "re:a");
  expect(performance.now() - since).toBeGreaterThanOrEqual(59);
  link.heal();
  socket.write("b");
  await until("the next one, too", () => got() === "re:are:b");
});

test("a cut resets what is open, and lets new connections through", async ({ link, open }) => {
  const first = await open();
  first.socket.write("a");
  await until("it works", () => first.got() === "re:a");
  link.cut();
  await until("it is reset", () => first.ended() === "ECONNRESET");
  const { socket, got } = await open();
  socket.write("b");
  await until("another one works", () => got() === "re:b");
});

test("while a line refuses, every connection is reset", async ({ link, open }) => {
  link.set("refuse");
  const { ended } = await open();
  await until("it is reset", () => ended() === "ECONNRESET");
});

test("where nobody is, connections are reset", async ({ link, open }) => {
  link.to = undefined;
  const { ended } = await open();
  await until("it is reset", () => ended() === "ECONNRESET");
});

test("what was sent over a stalled line arrives when it is over", async ({ server, link, open }) => {
  const { socket, got, ended } = await open();
  link.set("stall");
  socket.write("a");
  const other = await open();
  other.socket.write("b");
  await until("both are connected", () => link.connections === 2);
  expect(server.got).toEqual([]);
  link.heal();
  await until("both are answered", () => got() === "re:a" && other.got() === "re:b");
  expect(ended()).toBeUndefined();
});

/** A connection that has brought an answer. */
async function givenWorking(open: Fixtures["open"]) {
  const one = await open();
  one.socket.write("a");
  await until("it works", () => one.got() === "re:a");
  return one;
}

test("a half-open connection swallows all, tells nobody, and stays dead; a new one works after it", async ({
  server,
  link,
  open,
}) => {
  const dead = await givenWorking(open);
  link.set("half-open");
  dead.socket.write("b");
  link.heal();
  dead.socket.write("c");
  const { socket, got } = await open();
  socket.write("d");
  await until("the new one works", () => got() === "re:d");
  expect(server.got).toEqual(["a", "d"]);
  expect(dead.ended()).toBeUndefined();
});

test("the far end of a half-open connection finds out in the end; the near one is told nothing", async ({
  server,
  link,
  open,
}) => {
  const dead = await givenWorking(open);
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  link.set("half-open");
  vi.advanceTimersByTime(30_000);
  vi.useRealTimers();
  await until("the server is told", () => server.open() === 0);
  expect(dead.ended()).toBeUndefined();
});

test("a flaky line loses a request or its reply, with the connection; the next ones pass", async ({
  server,
  link,
  open,
}) => {
  const faults: string[] = [];
  const draws = [0.5, 0, 0.9, 0, 0.1, 0.5];
  link.flaky({ share: 0.5, draw: () => draws.shift() ?? 1, onFault: (what) => void faults.push(what) });
  const first = await open();
  first.socket.write("a");
  await until("the first passes", () => first.got() === "re:a");
  first.socket.write("b");
  await until("it is reset", () => first.ended() === "ECONNRESET");
  const second = await open();
  second.socket.write("c");
  await until("it is reset, too", () => second.ended() === "ECONNRESET");
  const third = await open();
  third.socket.write("d");
  await until("the last passes", () => third.got() === "re:d");
  expect(faults).toEqual(["a lost request", "a lost reply"]);
  expect(server.got).toEqual(["a", "c", "d"]);
  expect([first.got(), second.got()]).toEqual(["re:a", ""]);
});

test("a lost reply: the request arrives, its answer does not, and the connection is reset", async ({
  server,
  link,
  open,
}) => {
  const { socket, got, ended } = await open();
  link.set("lose-replies");
  socket.write("a");
  await until("it is reset", () => ended() === "ECONNRESET");
  expect(server.got).toEqual(["a"]);
  expect(got()).toBe("");
  expect(link.lostReplies).toBe(1);
});
