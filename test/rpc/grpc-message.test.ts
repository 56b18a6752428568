/** A message of too many parts in plain gRPC: it is refused as soon as that is known, in whatever pieces it comes. */
import { once } from "node:events";
import http2 from "node:http2";
import { expect } from "vitest";
import { envelope } from "../hostile/frames.ts";
import { startTestBroker, type TestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";

const MIB = 1024 * 1024;
const RESOURCE_EXHAUSTED = "8";
/** Field 2 of a HeartbeatRequest: a lease of nothing. */
const ITEM = Buffer.from([0x12, 0]);
const MOST_ITEMS = 50_000;

/** A Heartbeat; resolves with the status of its answer once its stream is closed, whether or not it ended its request. */
async function heartbeat({ url }: TestBroker, send: (stream: http2.ClientHttp2Stream) => unknown) {
  const session = http2.connect(url);
  const stream = session.request({
    ":method": "POST",
    ":path": "/aibroker.v1.WorkerService/Heartbeat",
    "content-type": "application/grpc",
    te: "trailers",
    "x-worker-token": WORKER_TOKEN,
  });
  const said: http2.IncomingHttpHeaders = {};
  stream.on("response", (fields) => Object.assign(said, fields));
  stream.on("trailers", (fields) => Object.assign(said, fields));
  const closed = once(stream.resume(), "close");
  send(stream);
  await closed;
  session.destroy();
  return said["grpc-status"];
}

test("before it is here whole", async ({ url }) => {
  await using broker = await startTestBroker(url);
  const status = await heartbeat(broker, (stream) => {
    // Says 30 MiB, sends a little, and never ends it.
    stream.write(envelope(Buffer.alloc(2 * MOST_ITEMS + 20_000, ITEM), 30 * MIB));
  });
  expect(status).toBe(RESOURCE_EXHAUSTED);
});

test("by its very last part, where it comes in pieces that cut its parts", async ({ url }) => {
  await using broker = await startTestBroker(url);
  const inPieces = (items: number) => (stream: http2.ClientHttp2Stream) => {
    const bytes = envelope(Buffer.alloc(items * ITEM.length, ITEM));
    for (let at = 0; at < bytes.length; at += 9_999) stream.write(bytes.subarray(at, at + 9_999));
    stream.end();
  };
  expect(await heartbeat(broker, inPieces(MOST_ITEMS + 1))).toBe(RESOURCE_EXHAUSTED);
  // Not for its parts: it names no worker.
  expect(await heartbeat(broker, inPieces(MOST_ITEMS))).toBe("3");
});
