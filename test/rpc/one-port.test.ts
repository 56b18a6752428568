import { Code, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import fc from "fast-check";
import { expect, test } from "vitest";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { protocolOf } from "../../src/rpc/one-port.ts";
import { fakeServer, WORKER_TOKEN } from "../support/fake-services.ts";
import { readError, transports } from "../support/rpc-clients.ts";
import { rawSocket } from "../support/sockets.ts";

/** How long a condition may take on a busy machine. */
const POLL_MS = 10_000;

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

/** The server still answers a decent client. */
async function expectAlive(url: string) {
  const client = createClient(Health, createGrpcTransport({ baseUrl: url }));
  expect((await client.check({})).status).toBe(Status.SERVING);
}

test("the first bytes decide as soon as they can, and not before", () => {
  const at = (text: string) => protocolOf(Buffer.from(text, "latin1"));
  for (let length = 0; length < PREFACE.length; length += 1) expect(at(PREFACE.slice(0, length))).toBeUndefined();
  expect([at(PREFACE), at(`${PREFACE}more`)]).toEqual(["http2", "http2"]);
  expect([at("GET / HTTP/1.1"), at("G"), at("POST"), at("PRI * HTTP/2.1")]).toEqual([
    "http1",
    "http1",
    "http1",
    "http1",
  ]);
  expect(protocolOf(Buffer.from([0x16, 3, 1]))).toBe("tls");
});

test("any bytes but the preface and a TLS handshake are HTTP/1.1's to judge", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 24, maxLength: 64 }), (bytes) => {
      const isPreface = Buffer.from(bytes).toString("latin1").startsWith(PREFACE);
      fc.pre(!isPreface);
      return protocolOf(Buffer.from(bytes)) === (bytes[0] === 0x16 ? "tls" : "http1");
    }),
  );
});

test("a request that arrives byte by byte is understood, in either version", async () => {
  await using server = await fakeServer();
  const one = await rawSocket(server.port);
  for (const byte of "GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") {
    await new Promise((resolve) => one.socket.write(byte, resolve));
  }
  expect(await one.closed).toContain("HTTP/1.1 404");

  const two = await rawSocket(server.port);
  for (const byte of [...Buffer.from(PREFACE), ...SETTINGS]) {
    await new Promise((resolve) => two.socket.write(Uint8Array.of(byte), resolve));
  }
  // The server's own SETTINGS frame: type 4 on stream 0.
  await expect.poll(() => two.text().slice(3, 4), { timeout: POLL_MS }).toBe("\x04");
  two.socket.destroy();
});

test("a client that says nothing, or half a preface, is closed in time", async () => {
  await using server = await fakeServer({ limits: { prefaceTimeoutMs: 500 } });
  const silent = [undefined, "P", PREFACE.slice(0, 23)].map((bytes) => rawSocket(server.port, bytes));
  const closed = (await Promise.all(silent)).map((client) => client.closed);
  expect(await Promise.all(closed)).toEqual(["", "", ""]);
  await expectAlive(server.url);
});

test("a client that leaves before it has said anything leaves nothing behind", async () => {
  await using server = await fakeServer();
  for (const bytes of [undefined, "P", PREFACE.slice(0, 23)]) {
    const { socket, closed } = await rawSocket(server.port, bytes);
    socket.end();
    await closed;
  }
  expect(await server.stop(5_000)).toBe(true);
});

test("slow HTTP/1.1 headers and bodies end in a timeout", async () => {
  const limits = { headersTimeoutMs: 60, requestTimeoutMs: 120, timeoutCheckMs: 20 };
  await using server = await fakeServer({ limits });
  const headers = await rawSocket(server.port, "GET /nope HTTP/1.1\r\nHost: x\r\n");
  expect(await headers.closed).toContain("HTTP/1.1 408");
  const start = "POST /aibroker.v1.WorkerService/Claim HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
  const body = await rawSocket(server.port, `${start}x-worker-token: worker-token-1\r\nContent-Length: 100\r\n\r\n{`);
  expect(await body.closed).not.toContain("HTTP/1.1 200");
  await expect.poll(() => server.inFlight, { timeout: POLL_MS }).toBe(0);
  await expectAlive(server.url);
});

test("garbage, TLS and broken frames harm nobody else", async () => {
  await using server = await fakeServer();
  const tries = {
    garbage: Buffer.from("\x00\xff\xfe garbage\r\n\r\n", "latin1"),
    "a TLS handshake": Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
    "a broken HTTP/2 frame": Buffer.concat([
      Buffer.from(PREFACE),
      Buffer.from([0xff, 0xff, 0xff, 9, 9, 9, 9, 9, 9, 1]),
    ]),
    "headers of nonsense": Buffer.concat([
      Buffer.from(PREFACE),
      SETTINGS,
      Buffer.from([0, 0, 4, 1, 5, 0, 0, 0, 1, 255, 255, 255, 255]),
    ]),
    "no host": "GET / HTTP/1.1\r\n\r\n",
    "huge headers": `GET / HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(100_000)}\r\n\r\n`,
    "a bad chunk": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
  };
  for (const [name, bytes] of Object.entries(tries)) {
    const { closed } = await rawSocket(server.port, bytes);
    expect(await closed, name).not.toContain(" 200 ");
  }
  await expectAlive(server.url);
  expect(server.logged.filter((line) => JSON.parse(line).level >= 50)).toEqual([]);
});

test("odd targets, methods and hosts are answered, not stumbled over", async () => {
  await using server = await fakeServer();
  const claim = "/aibroker.v1.WorkerService/Claim";
  const tries = {
    [`POST ${claim} HTTP/1.0\r\nContent-Type: application/json\r\n\r\n`]: 400,
    [`POST ${claim} HTTP/1.1\r\nHost: a b c\r\nContent-Type: application/json\r\n\r\n`]: 400,
    [`DELETE ${claim} HTTP/1.1\r\nHost: x\r\n\r\n`]: 405,
    [`POST ${claim} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n`]: 415,
    "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n": 404,
    "GET //// HTTP/1.1\r\nHost: x\r\n\r\n": 404,
    "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n": 404,
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n": 404,
  };
  for (const [request, status] of Object.entries(tries)) {
    const { socket, text } = await rawSocket(server.port, request);
    await expect.poll(text, { message: request, timeout: POLL_MS }).toMatch(/^HTTP\/1\.1 \d{3} /);
    expect(Number(text().slice(9, 12)), request).toBe(status);
    socket.destroy();
  }
  await expectAlive(server.url);
});

test("a handler hears of it when its caller leaves, however it leaves", async () => {
  const json = '{"workerId":"w","wait":"30s"}';
  const head = "POST /aibroker.v1.WorkerService/Claim HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
  const request = `${head}x-worker-token: ${WORKER_TOKEN}\r\nContent-Length: ${json.length}\r\n\r\n${json}`;
  for (const leave of ["end", "destroy", "resetAndDestroy"] as const) {
    await using server = await fakeServer();
    const { socket } = await rawSocket(server.port, request);
    await server.claimStarted;
    socket[leave]();
    await server.claimLeft;
    server.finishClaim();
    await expect.poll(() => server.inFlight, { message: leave, timeout: POLL_MS }).toBe(0);
    await expectAlive(server.url);
  }
  for (const transport of Object.keys(transports("http://x", ""))) {
    await using server = await fakeServer();
    const abort = new AbortController();
    const client = createClient(WorkerService, transports(server.url, WORKER_TOKEN)[transport] as Transport);
    const call = client.claim({ workerId: "w", wait: { seconds: 30n } }, { signal: abort.signal }).catch(readError);
    await server.claimStarted;
    abort.abort();
    expect(await call).toMatchObject({ code: Code.Canceled });
    await server.claimLeft;
    // Until its handler is done it counts, so that a drain waits for what the handler still puts right.
    expect(server.inFlight, transport).toBe(1);
    server.finishClaim();
    await expect.poll(() => server.inFlight, { message: transport, timeout: POLL_MS }).toBe(0);
  }
});

test("more connections than allowed are closed at once", async () => {
  await using server = await fakeServer({ limits: { maxConnections: 2 } });
  const kept = [await rawSocket(server.port, "P"), await rawSocket(server.port, "P")];
  const { closed } = await rawSocket(server.port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  expect(await closed).toBe("");
  for (const { socket } of kept) socket.destroy();
});
