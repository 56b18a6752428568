/** HTTP/2 that takes and does not give: large heads, windows of nothing, connections that say little or nothing. */
import net from "node:net";
import { expect } from "vitest";
import { data, envelope, FLAG, frame, grpcHead, headers, PREFACE, SETTING, settings, TYPE } from "./frames.ts";
import { API_TOKEN, type HostileBroker, WORKER_TOKEN } from "./hostile-broker.ts";
import { type RawHttp2, rawHttp2, writeTo } from "./raw-http2.ts";
import { sized, test } from "./under-attack.ts";

const INFO = "aibroker.v1.AdminService/GetServerInfo";
const CLAIM = "aibroker.v1.WorkerService/Claim";
const REFLECTION = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const EMPTY = envelope(Buffer.alloc(0));

/** So many connections, each of which has sent these bytes and stays. */
async function crowd(broker: HostileBroker, count: number, bytes: Uint8Array): Promise<net.Socket[]> {
  const sockets: net.Socket[] = [];
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(200, count - sockets.length) }, () => opened(broker.port, bytes));
    sockets.push(...(await Promise.all(batch)));
  }
  return sockets;
}

function opened(port: number, bytes: Uint8Array): Promise<net.Socket> {
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

const leave = (sockets: readonly net.Socket[]) => () => {
  for (const socket of sockets) socket.destroy();
};

const IDLE = sized(1_000, 10_000);

test("idle connections that have said nothing at all", async ({ withstands }) => {
  await withstands(async (broker) => leave(await crowd(broker, IDLE, Buffer.alloc(0))));
});

test("idle connections that have said half of the preface", async ({ withstands }) => {
  await withstands(async (broker) => leave(await crowd(broker, IDLE, PREFACE.subarray(0, 12))));
});

test("idle connections that speak HTTP/2 and call nothing", async ({ withstands }) => {
  await withstands(async (broker) => leave(await crowd(broker, IDLE, Buffer.concat([PREFACE, settings()]))));
});

test("calls that never send their message", async ({ withstands }) => {
  const call = Buffer.concat([PREFACE, settings(), headers(1, grpcHead(CLAIM, WORKER_TOKEN))]);
  await withstands(async (broker) => leave(await crowd(broker, IDLE, call)));
});

test("messages that come a byte at a time", async ({ withstands }) => {
  await withstands(async (broker) => {
    const call = Buffer.concat([PREFACE, settings(), headers(1, grpcHead(CLAIM, WORKER_TOKEN))]);
    const sockets = await crowd(broker, IDLE / 10, call);
    const message = envelope(Buffer.alloc(10_000));
    let at = 0;
    // At the pace of a slow sender: it goes on for as long as the attack stands.
    const drip = setInterval(() => {
      for (const socket of sockets) socket.write(data(1, message.subarray(at, at + 1)));
      at += 1;
    }, 20);
    return () => {
      clearInterval(drip);
      leave(sockets)();
    };
  });
});

test("heads of 64 KB, in one piece and in many", async ({ withstands }) => {
  const long: [string, string][] = Array.from({ length: 16 }, (_, at) => [`x-long-${at}`, "x".repeat(4_000)]);
  const fields = grpcHead(INFO, API_TOKEN, long);
  const whole = headers(1, fields, true);
  await withstands(async (broker) => {
    const open: RawHttp2[] = [];
    for (let round = 0; round < sized(100, 1_000); round++) {
      const one = await rawHttp2(broker.port);
      const block = whole.subarray(9);
      await one.write(frame(TYPE.headers, FLAG.endStream, 1, block.subarray(0, 16_000)));
      for (let at = 16_000; at < block.length; at += 16_000) {
        const last = at + 16_000 >= block.length;
        await one.write(frame(TYPE.continuation, last ? FLAG.endHeaders : 0, 1, block.subarray(at, at + 16_000)));
      }
      await one.until("it is answered or refused", () => one.ended > 0 || one.closed);
      open.push(one);
    }
    return () => open.map((one) => one.destroy());
  });
});

test("a thousand small fields in one head", async ({ withstands }) => {
  const many: [string, string][] = Array.from({ length: 1_000 }, (_, at) => [`x-${at}`, "y"]);
  await withstands(async (broker) => {
    const open: RawHttp2[] = [];
    for (let round = 0; round < sized(50, 500); round++) {
      const one = await rawHttp2(broker.port);
      await one.write(headers(1, grpcHead(INFO, API_TOKEN, many), true));
      await one.until("it is answered or refused", () => one.ended > 0 || one.closed);
      open.push(one);
    }
    return () => open.map((one) => one.destroy());
  });
});

test("one table, filled once and named a thousand times in every head", async ({ withstands }) => {
  // Literal with indexing (0x40), a value of 3 KB; then its index (62) again and again: an HPACK bomb.
  const value = Buffer.alloc(3_000, "v");
  const store = Buffer.concat([Buffer.from([0x40, 1]), Buffer.from("b"), Buffer.from([127, 0xb9, 0x16]), value]);
  await withstands(async (broker) => {
    const open: RawHttp2[] = [];
    for (let round = 0; round < sized(50, 500); round++) {
      const one = await rawHttp2(broker.port);
      const head = headers(1, grpcHead(INFO, API_TOKEN)).subarray(9);
      const bomb = Buffer.concat([head, store, Buffer.alloc(10_000, 0x80 | 62)]);
      await one.write(frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, 1, bomb));
      await one.until("it is answered or refused", () => one.ended > 0 || one.closed);
      open.push(one);
    }
    return () => open.map((one) => one.destroy());
  });
});

test("answers into a window of nothing", async ({ withstands }) => {
  await withstands(
    async (broker) => {
      const open: RawHttp2[] = [];
      for (let many = 0; many < sized(20, 100); many++) {
        const one = await rawHttp2(broker.port, { [SETTING.window]: 0 });
        for (let stream = 1; stream < 1_000; stream += 2) {
          await one.write(Buffer.concat([headers(stream, grpcHead(INFO, API_TOKEN)), data(stream, EMPTY, true)]));
        }
        open.push(one);
      }
      return () => open.map((one) => one.destroy());
      // Ten thousand calls, each of which takes the time that a call takes.
    },
    { p99Ms: 5_000 },
  );
});

test("large answers that nobody reads", async ({ withstands }) => {
  // file_containing_symbol: the files of AdminService, some 15 KB for each time that they are asked for.
  const name = "aibroker.v1.AdminService";
  const ask = envelope(Buffer.concat([Buffer.from([0x22, name.length]), Buffer.from(name)]));
  const asks = Buffer.concat(Array.from({ length: 200 }, () => ask));
  await withstands(async (broker) => {
    const open: RawHttp2[] = [];
    for (let many = 0; many < sized(10, 50); many++) {
      const one = await rawHttp2(broker.port, { [SETTING.window]: 0 });
      one.deaf();
      for (let stream = 1; stream < 20; stream += 2) {
        await one.write(headers(stream, grpcHead(REFLECTION, API_TOKEN)));
        for (let at = 0; at < asks.length; at += 16_000) await one.write(data(stream, asks.subarray(at, at + 16_000)));
      }
      open.push(one);
    }
    return () => open.map((one) => one.destroy());
  });
});

test("more calls at a time on one connection than are allowed", async ({ withstands }) => {
  await withstands(async (broker) => {
    const one = await rawHttp2(broker.port);
    const count = 5_000;
    for (let call = 0; call < count; call++) await one.write(headers(1 + 2 * call, grpcHead(CLAIM, WORKER_TOKEN)));
    await one.until("those above the limit are refused", () => one.closed || one.ended >= count - 1_000);
    expect(one.closed || one.ended >= count - 1_000).toBe(true);
    return () => one.destroy();
  });
});

test("connections that break in the middle of a frame", async ({ withstands }) => {
  await withstands(async (broker) => {
    const bytes = Buffer.concat([PREFACE, settings(), headers(1, grpcHead(INFO, API_TOKEN)), data(1, EMPTY, true)]);
    for (let at = 0; at < sized(bytes.length, 10 * bytes.length); at++) {
      const socket = await opened(broker.port, bytes.subarray(0, at % bytes.length));
      if (at % 2 === 0) socket.resetAndDestroy();
      else socket.end();
    }
    const last = await opened(broker.port, bytes);
    await writeTo(last, EMPTY);
    return () => last.destroy();
  });
});
