/** gRPC messages that are not what they say: lying lengths, messages in crumbs, and few bytes that become much. */
import { expect } from "vitest";
import { data, envelope, FLAG, frame, grpcHead, headers, TYPE } from "./frames.ts";
import { API_TOKEN, type HostileBroker, WORKER_TOKEN } from "./hostile-broker.ts";
import { type RawHttp2, rawHttp2 } from "./raw-http2.ts";
import { count, sized } from "./size.ts";
import { test } from "./under-attack.ts";

const CLAIM = "aibroker.v1.WorkerService/Claim";
const HEARTBEAT = "aibroker.v1.WorkerService/Heartbeat";
const DISPATCH = "aibroker.v1.JobService/Dispatch";
const MIB = 1024 * 1024;
const ROUNDS = sized(10, 200);
const WRONG_ROUNDS = sized(20, 500);
const CRUMBS = sized(1, 8) * MIB;
const CRUMBLED = { instead: { p99Ms: 2_000, why: "each byte is a frame, which takes the time that a frame takes" } };

/** One call whose body is these bytes, in DATA frames of `size`; resolves when the broker has ended it, or has it. */
async function call(
  broker: HostileBroker,
  method: string,
  token: string,
  body: Buffer,
  size = 16_384,
  more: Record<string, string> = {},
  toItsEnd = true,
) {
  const one = await rawHttp2(broker.port);
  await one.write(headers(1, grpcHead(method, token, Object.entries(more))));
  for (let at = 0; at < body.length && one.ended === 0 && !one.closed; ) {
    await one.until("there is a window", () => one.window > 0 || one.ended > 0 || one.closed);
    const piece: Buffer[] = [];
    for (let room = one.window; room > 0 && at < body.length && piece.length < 4_000; ) {
      const part = body.subarray(at, at + Math.min(size, room));
      at += part.length;
      room -= part.length;
      one.spend(part.length);
      piece.push(data(1, part, at >= body.length));
    }
    await one.write(Buffer.concat(piece));
  }
  if (toItsEnd) await one.until("it is ended", () => one.ended > 0 || one.closed);
  return one;
}

test("lengths that lie: longer, shorter, none, and the most there is", async ({ withstands }) => {
  await withstands(count(10 * ROUNDS, "calls"), async (broker) => {
    const lies: [string, Buffer][] = [
      ["more than comes", envelope(Buffer.from([0x0a, 1, 0x77]), 1_000)],
      ["less than comes", envelope(Buffer.from([0x0a, 1, 0x77]), 1)],
      ["none", envelope(Buffer.from([0x0a, 1, 0x77]), 0)],
      ["4 GiB", envelope(Buffer.alloc(0), 0xffffffff)],
      ["2 GiB", envelope(Buffer.alloc(10), 0x80000000)],
      ["half a head", Buffer.from([0, 0, 0])],
      ["packed that is not", envelope(Buffer.from([0x0a, 1, 0x77]), 3, 1)],
      ["every flag", envelope(Buffer.from([0x0a, 1, 0x77]), 3, 255)],
      ["nothing", Buffer.alloc(0)],
      ["two messages", Buffer.concat([envelope(Buffer.alloc(0)), envelope(Buffer.alloc(0))])],
    ];
    const open: RawHttp2[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      for (const [what, body] of lies) {
        const one = await rawHttp2(broker.port);
        await one.write(Buffer.concat([headers(1, grpcHead(CLAIM, WORKER_TOKEN)), data(1, body, true)]));
        await one.until(`a call of ${what} is ended`, () => one.ended > 0 || one.closed);
        open.push(one);
      }
    }
    for (const one of open) one.destroy();
    return undefined;
  });
});

test("a thousand calls that say 32 MiB and send none of it", async ({ withstands }) => {
  await withstands("1,000 calls", async (broker) => {
    const one = await rawHttp2(broker.port);
    const head = envelope(Buffer.alloc(0), 32 * MIB);
    for (let call = 0; call < 1_000; call++) {
      const stream = 1 + 2 * call;
      await one.write(Buffer.concat([headers(stream, grpcHead(DISPATCH, API_TOKEN)), data(stream, head)]));
    }
    return () => one.destroy();
  });
});

test("a message in crumbs of one byte each", async ({ withstands }) => {
  await withstands(
    count(CRUMBS, "crumbs"),
    async (broker) => {
      // One field, so that it is not refused for its parts.
      const body = envelope(Buffer.concat([Buffer.from([0x7a]), varint(CRUMBS), Buffer.alloc(CRUMBS)]));
      const one = await call(broker, DISPATCH, API_TOKEN, body, 1);
      expect(one.ended).toBe(1);
      one.destroy();
      return undefined;
    },
    CRUMBLED,
  );
});

test("a message of nothing but empty items", async ({ withstands }) => {
  await withstands("30 MiB", async (broker) => {
    const one = await call(broker, HEARTBEAT, WORKER_TOKEN, envelope(pairs(0x12)));
    one.destroy();
    return undefined;
  });
});

test("a message of nothing but unknown fields", async ({ withstands }) => {
  await withstands("30 MiB", async (broker) => {
    const one = await call(broker, HEARTBEAT, WORKER_TOKEN, envelope(pairs(0x78)));
    one.destroy();
    return undefined;
  });
});

test("groups in groups in groups", async ({ withstands }) => {
  await withstands("30 MiB", async (broker) => {
    const one = await call(broker, HEARTBEAT, WORKER_TOKEN, envelope(Buffer.alloc(30 * MIB, 0x7b)));
    one.destroy();
    return undefined;
  });
});

test("bytes without a call, and calls on streams that are not a client's", async ({ withstands }) => {
  await withstands(count(6 * WRONG_ROUNDS, "connections"), async (broker) => {
    const wrong = [
      data(1, Buffer.alloc(1_000)),
      data(0, Buffer.alloc(10)),
      headers(2, grpcHead(CLAIM, WORKER_TOKEN)),
      Buffer.concat([headers(5, grpcHead(CLAIM, WORKER_TOKEN)), headers(3, grpcHead(CLAIM, WORKER_TOKEN))]),
      frame(TYPE.data, FLAG.endStream, 1, Buffer.alloc(10), 0xffffff),
      frame(TYPE.headers, 0x2d, 1, Buffer.from([255, 1, 2, 3])),
    ];
    for (let round = 0; round < WRONG_ROUNDS; round++) {
      for (const bytes of wrong) {
        const one = await rawHttp2(broker.port);
        await one.write(bytes);
        one.destroy();
      }
    }
    return undefined;
  });
});

test("claims that wait, with millions of unknown fields each", async ({ withstands }) => {
  // worker_id "w", types ["nothing"], wait 30 s.
  const wait = Buffer.concat([
    Buffer.from([0x0a, 1, 0x77, 0x12, 7]),
    Buffer.from("nothing"),
    Buffer.from([0x22, 2, 8, 30]),
  ]);
  await withstands("3 claims of 30 MiB", async (broker) => {
    const body = envelope(Buffer.concat([wait, pairs(0x78)]));
    const all: RawHttp2[] = [];
    for (let claim = 0; claim < 3; claim++) all.push(await call(broker, CLAIM, WORKER_TOKEN, body, 16_384, {}, false));
    return () => all.map((one) => one.destroy());
  });
});

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 0x80);
  }
}

/** As many fields of two bytes as a message holds: an empty item, or the number 0. */
function pairs(tag: number): Buffer {
  const bytes = Buffer.alloc(30 * MIB);
  for (let at = 0; at < bytes.length; at += 2) bytes[at] = tag;
  return bytes;
}
