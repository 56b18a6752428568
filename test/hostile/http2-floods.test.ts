/** Floods of frames over raw HTTP/2: many of one kind, as fast as the socket takes them. */
import { envelope, FLAG, frame, grpcHead, headers, hpack, moreWindow, ping, reset, settings, TYPE } from "./frames.ts";
import { API_TOKEN, type HostileBroker, WORKER_TOKEN } from "./hostile-broker.ts";
import { type RawHttp2, rawHttp2 } from "./raw-http2.ts";
import { count, sized } from "./size.ts";
import { test } from "./under-attack.ts";

const CLAIM = "aibroker.v1.WorkerService/Claim";
const INFO = "aibroker.v1.AdminService/GetServerInfo";
const DISPATCH = "aibroker.v1.JobService/Dispatch";

const FRAMES = sized(10_000, 100_000);

/** Each connection may begin a thousand calls before it is ended for it, and each of them takes the time that a call takes. */
const CROWD = {
  instead: { p99Ms: 5_000, worstMs: 10_000, why: "each reset is of a call, which takes the time that a call takes" },
};

/** Resets on one connection that nghttp2 bears, and some more: it lets a thousand pass at once. */
const PATIENCE = 2_000;

/** Sends the frame so often, in pieces of a few hundred, until all are out or the connection is closed. */
async function flood(to: RawHttp2, many: number, make: (at: number) => Buffer): Promise<void> {
  for (let at = 0; at < many && !to.closed; at += 500) {
    const piece = Array.from({ length: Math.min(500, many - at) }, (_, offset) => make(at + offset));
    await to.write(Buffer.concat(piece));
  }
}

/** Resets each call at once, on connection after connection, until there were so many. */
async function resets(broker: HostileBroker, total: number, method: string, token: string, body?: Buffer) {
  let sent = 0;
  while (sent < total) {
    const one = await rawHttp2(broker.port);
    let stream = 1;
    while (sent < total && !one.closed && one.goaway === undefined) {
      const piece: Buffer[] = [];
      for (let many = 0; many < 100 && sent < total; many++, sent++, stream += 2) {
        piece.push(headers(stream, grpcHead(method, token)));
        if (body !== undefined) piece.push(frame(TYPE.data, FLAG.endStream, stream, body));
        piece.push(reset(stream));
      }
      await one.write(Buffer.concat(piece));
    }
    const isOver = () => one.closed || one.goaway !== undefined;
    if (stream > 2 * PATIENCE) await one.until("a connection that resets so much is ended", isOver);
    one.destroy();
  }
}

test("rapid resets of calls without a token", async ({ withstands }) => {
  await withstands(
    count(FRAMES, "resets"),
    async (broker) => {
      await resets(broker, FRAMES, INFO, "");
      return undefined;
    },
    CROWD,
  );
});

test("rapid resets of whole calls that have begun to work", async ({ withstands }) => {
  await withstands(
    count(FRAMES, "resets"),
    async (broker) => {
      await resets(broker, FRAMES, INFO, API_TOKEN, envelope(Buffer.alloc(0)));
      return undefined;
    },
    CROWD,
  );
});

test("rapid resets of claims that wait", async ({ withstands }) => {
  // worker_id "w", types ["nothing"], wait 30 s.
  const claim = Buffer.concat([
    Buffer.from([0x0a, 1, 0x77, 0x12, 7]),
    Buffer.from("nothing"),
    Buffer.from([0x22, 2, 8, 30]),
  ]);
  await withstands(
    count(FRAMES, "resets"),
    async (broker) => {
      await resets(broker, FRAMES, CLAIM, WORKER_TOKEN, envelope(claim));
      return undefined;
    },
    CROWD,
  );
});

test("a head that never ends: CONTINUATION after CONTINUATION", async ({ withstands }) => {
  await withstands(count(FRAMES, "frames"), async (broker) => {
    const one = await rawHttp2(broker.port);
    await one.write(frame(TYPE.headers, FLAG.none, 1, hpack(grpcHead(INFO, API_TOKEN))));
    const more = hpack([["x-more", "x".repeat(50)]]);
    await flood(one, FRAMES, () => frame(TYPE.continuation, FLAG.none, 1, more));
    await one.until("the connection is closed", () => one.closed);
    return undefined;
  });
});

test("CONTINUATION frames that hold nothing", async ({ withstands }) => {
  await withstands(count(FRAMES, "frames"), async (broker) => {
    const one = await rawHttp2(broker.port);
    await one.write(frame(TYPE.headers, FLAG.none, 1, hpack(grpcHead(INFO, API_TOKEN))));
    await flood(one, FRAMES, () => frame(TYPE.continuation, FLAG.none, 1));
    await one.until("the connection is closed", () => one.closed);
    return undefined;
  });
});

test("PING after PING, whose answers nobody reads", async ({ withstands }) => {
  await withstands(count(31 * FRAMES, "frames"), async (broker) => {
    const deaf = await Promise.all([1, 2, 3].map(() => rawHttp2(broker.port)));
    for (const one of deaf) {
      one.deaf();
      void flood(one, FRAMES * 10, (at) => ping(at));
    }
    const heard = await rawHttp2(broker.port);
    await flood(heard, FRAMES, (at) => ping(at));
    await heard.until("it is answered or closed", () => heard.closed || heard.got(TYPE.ping) >= FRAMES);
    for (const one of [heard, ...deaf]) one.destroy();
    return undefined;
  });
});

test("SETTINGS after SETTINGS, whose acks nobody reads", async ({ withstands }) => {
  await withstands(count(31 * FRAMES, "frames"), async (broker) => {
    const deaf = await Promise.all([1, 2, 3].map(() => rawHttp2(broker.port)));
    for (const one of deaf) {
      one.deaf();
      void flood(one, FRAMES * 10, (at) => settings({ 4: 65_535 + (at % 2) }));
    }
    const heard = await rawHttp2(broker.port);
    await flood(heard, FRAMES, () => settings({ 3: 100 }));
    await heard.until("it is acked or closed", () => heard.closed || heard.got(TYPE.settings) > FRAMES);
    for (const one of [heard, ...deaf]) one.destroy();
    return undefined;
  });
});

test("DATA frames that hold nothing, for a call that goes on", async ({ withstands }) => {
  await withstands(count(FRAMES, "frames"), async (broker) => {
    const one = await rawHttp2(broker.port);
    await one.write(headers(1, grpcHead(DISPATCH, API_TOKEN)));
    await flood(one, FRAMES, () => frame(TYPE.data, FLAG.none, 1));
    one.destroy();
    return undefined;
  });
});

test("PRIORITY, WINDOW_UPDATE and frames of unknown types", async ({ withstands }) => {
  await withstands(count(5 * FRAMES, "frames"), async (broker) => {
    const kinds: ((at: number) => Buffer)[] = [
      (at) => frame(TYPE.priority, FLAG.none, 1 + 2 * (at % 1_000), Buffer.from([0, 0, 0, 0, at & 255])),
      () => moreWindow(0, 1),
      (at) => frame(0x20 + (at % 200), at & 255, at, Buffer.alloc(16)),
      () => frame(TYPE.goaway, FLAG.none, 0, Buffer.alloc(8)),
      (at) => frame(TYPE.push, FLAG.endHeaders, 1, Buffer.from([0, 0, 0, 2 + 2 * at])),
    ];
    const all = await Promise.all(kinds.map(() => rawHttp2(broker.port)));
    await Promise.all(kinds.map((make, at) => flood(all[at] as RawHttp2, FRAMES, make)));
    for (const one of all) one.destroy();
    return undefined;
  });
});
