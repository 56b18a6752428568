/** HTTP/2 that takes and does not give: large heads, windows of nothing, connections that say little or nothing. */
import { expect } from "vitest";
import { bytesOf, crowd, dripOn, dripToTheEnd, leave, opened, PACE_MS } from "./crowd.ts";
import { data, envelope, FLAG, frame, grpcHead, headers, PREFACE, SETTING, settings, TYPE } from "./frames.ts";
import { API_TOKEN, WORKER_TOKEN } from "./hostile-broker.ts";
import { type RawHttp2, rawHttp2, writeTo } from "./raw-http2.ts";
import { count, sized } from "./size.ts";
import { type Attack, test } from "./under-attack.ts";

const INFO = "aibroker.v1.AdminService/GetServerInfo";
const CLAIM = "aibroker.v1.WorkerService/Claim";
const REFLECTION = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const EMPTY = envelope(Buffer.alloc(0));

const IDLE = sized(500, 10_000);
const SLOW = IDLE / 10;
const HEADS = sized(100, 1_000);
const MANY_FIELDS = sized(50, 500);
const DEAF = sized(10, 50);
const CLOSED_WINDOWS = sized(20, 100);
/** 50,000 calls of a client with a token that stay open at once: some 13 KB each. */
const HELD_CALLS_MB = 800;
/** A new connection must say within 10 s what it speaks. */
const PREFACE_ENDS_MS = 20_000;

const HELLO = Buffer.concat([PREFACE, settings()]);
const CALL = headers(1, grpcHead(CLAIM, WORKER_TOKEN));
const idle = { connections: IDLE };

test("idle connections that have said nothing at all", async ({ withstands }) => {
  const attack: Attack = async (broker) => leave(await crowd(broker, IDLE, ""));
  await withstands(count(IDLE, "connections"), attack, idle);
});

test("idle connections that have said half of the preface", async ({ withstands }) => {
  const attack: Attack = async (broker) => leave(await crowd(broker, IDLE, PREFACE.subarray(0, 12)));
  await withstands(count(IDLE, "connections"), attack, idle);
});

test("idle connections that speak HTTP/2 and call nothing", async ({ withstands }) => {
  const attack: Attack = async (broker) => leave(await crowd(broker, IDLE, HELLO));
  await withstands(count(IDLE, "connections"), attack, idle);
});

test("calls that never send their message", async ({ withstands }) => {
  const attack: Attack = async (broker) => leave(await crowd(broker, IDLE, Buffer.concat([HELLO, CALL])));
  await withstands(count(IDLE, "calls"), attack, idle);
});

const slowly = `a byte in ${PACE_MS} ms`;

test("prefaces a byte at a time", async ({ withstands }) => {
  const attack: Attack = async (broker) => {
    const sockets = await crowd(broker, IDLE, "");
    return await dripToTheEnd(sockets, bytesOf(Buffer.concat([HELLO, CALL])), PREFACE_ENDS_MS);
  };
  await withstands(`${count(IDLE, "connections")}, ${slowly}`, attack, idle);
});

test("first frames a byte at a time", async ({ withstands }) => {
  const attack: Attack = async (broker) => {
    const sockets = await crowd(broker, SLOW, PREFACE);
    return await dripOn(sockets, bytesOf(Buffer.concat([settings({ [SETTING.window]: 65_535 }), CALL])));
  };
  await withstands(`${count(SLOW, "connections")}, ${slowly}`, attack, { connections: SLOW });
});

test("messages that come a byte at a time", async ({ withstands }) => {
  const message = bytesOf(envelope(Buffer.alloc(10_000)));
  const attack: Attack = async (broker) => {
    const sockets = await crowd(broker, SLOW, Buffer.concat([HELLO, CALL]));
    return await dripOn(sockets, (at) => data(1, Buffer.from(message(at))));
  };
  await withstands(`${count(SLOW, "calls")}, ${slowly}`, attack, { connections: SLOW });
});

test("heads of 64 KB, in one piece and in many", async ({ withstands }) => {
  const long: [string, string][] = Array.from({ length: 16 }, (_, at) => [`x-long-${at}`, "x".repeat(4_000)]);
  const fields = grpcHead(INFO, API_TOKEN, long);
  const whole = headers(1, fields, true);
  await withstands(count(HEADS, "heads"), async (broker) => {
    const open: RawHttp2[] = [];
    for (let round = 0; round < HEADS; round++) {
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
    for (const one of open) one.destroy();
    return undefined;
  });
});

test("a thousand small fields in one head", async ({ withstands }) => {
  const many: [string, string][] = Array.from({ length: 1_000 }, (_, at) => [`x-${at}`, "y"]);
  await withstands(count(MANY_FIELDS, "heads"), async (broker) => {
    const open: RawHttp2[] = [];
    for (let round = 0; round < MANY_FIELDS; round++) {
      const one = await rawHttp2(broker.port);
      await one.write(headers(1, grpcHead(INFO, API_TOKEN, many), true));
      await one.until("it is answered or refused", () => one.ended > 0 || one.closed);
      open.push(one);
    }
    for (const one of open) one.destroy();
    return undefined;
  });
});

test("one table, filled once and named a thousand times in every head", async ({ withstands }) => {
  // Literal with indexing (0x40), a value of 3 KB; then its index (62) again and again: an HPACK bomb.
  const value = Buffer.alloc(3_000, "v");
  const store = Buffer.concat([Buffer.from([0x40, 1]), Buffer.from("b"), Buffer.from([127, 0xb9, 0x16]), value]);
  await withstands(count(MANY_FIELDS, "heads"), async (broker) => {
    const open: RawHttp2[] = [];
    for (let round = 0; round < MANY_FIELDS; round++) {
      const one = await rawHttp2(broker.port);
      const head = headers(1, grpcHead(INFO, API_TOKEN)).subarray(9);
      const bomb = Buffer.concat([head, store, Buffer.alloc(10_000, 0x80 | 62)]);
      await one.write(frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, 1, bomb));
      await one.until("it is answered or refused", () => one.ended > 0 || one.closed);
      open.push(one);
    }
    for (const one of open) one.destroy();
    return undefined;
  });
});

test("answers into a window of nothing", async ({ withstands }) => {
  await withstands(
    count(500 * CLOSED_WINDOWS, "calls"),
    async (broker) => {
      const open: RawHttp2[] = [];
      for (let many = 0; many < CLOSED_WINDOWS; many++) {
        const one = await rawHttp2(broker.port, { [SETTING.window]: 0 });
        for (let stream = 1; stream < 1_000; stream += 2) {
          await one.write(Buffer.concat([headers(stream, grpcHead(INFO, API_TOKEN)), data(stream, EMPTY, true)]));
        }
        open.push(one);
      }
      return () => open.map((one) => one.destroy());
    },
    {
      instead: { p99Ms: 5_000, why: "each of them is a call, which takes the time that a call takes" },
      roomMb: HELD_CALLS_MB,
    },
  );
});

test("large answers that nobody reads", async ({ withstands }) => {
  // file_containing_symbol: the files of AdminService, some 15 KB for each time that they are asked for.
  const name = "aibroker.v1.AdminService";
  const ask = envelope(Buffer.concat([Buffer.from([0x22, name.length]), Buffer.from(name)]));
  const asks = Buffer.concat(Array.from({ length: 200 }, () => ask));
  const attack: Attack = async (broker) => {
    const open: RawHttp2[] = [];
    for (let many = 0; many < DEAF; many++) {
      const one = await rawHttp2(broker.port, { [SETTING.window]: 0 });
      one.deaf();
      for (let stream = 1; stream < 20; stream += 2) {
        await one.write(headers(stream, grpcHead(REFLECTION, API_TOKEN)));
        for (let at = 0; at < asks.length; at += 16_000) await one.write(data(stream, asks.subarray(at, at + 16_000)));
      }
      open.push(one);
    }
    return () => open.map((one) => one.destroy());
  };
  const why = `${10 * DEAF} streams begin in one moment, and are answered until their windows are full`;
  await withstands(count(2_000 * DEAF, "answers"), attack, { instead: { p99Ms: 250, why } });
});

test("more calls at a time on one connection than are allowed", async ({ withstands }) => {
  await withstands("5,000 calls", async (broker) => {
    const one = await rawHttp2(broker.port);
    const calls = 5_000;
    for (let call = 0; call < calls; call++) await one.write(headers(1 + 2 * call, grpcHead(CLAIM, WORKER_TOKEN)));
    await one.until("those above the limit are refused", () => one.closed || one.ended >= calls - 1_000);
    expect(one.closed || one.ended >= calls - 1_000).toBe(true);
    return () => one.destroy();
  });
});

test("connections that break in the middle of a frame", async ({ withstands }) => {
  const bytes = Buffer.concat([HELLO, headers(1, grpcHead(INFO, API_TOKEN)), data(1, EMPTY, true)]);
  await withstands(count(sized(1, 10) * bytes.length, "connections"), async (broker) => {
    for (let at = 0; at < sized(1, 10) * bytes.length; at++) {
      const socket = await opened(broker.port, bytes.subarray(0, at % bytes.length));
      if (at % 2 === 0) socket.resetAndDestroy();
      else socket.end();
    }
    const last = await opened(broker.port, bytes);
    await writeTo(last, EMPTY);
    last.destroy();
    return undefined;
  });
});
