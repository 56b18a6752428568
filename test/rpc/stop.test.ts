import http2 from "node:http2";
import https from "node:https";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { fakeServer, WORKER_TOKEN } from "../support/fake-services.ts";
import { callGrpcJs, readError, transports, withToken } from "../support/rpc-clients.ts";
import { selfSigned } from "../support/self-signed.ts";
import { rawSocket } from "../support/sockets.ts";

/** How long a condition may take on a busy machine. */
const POLL_MS = 10_000;

const wait = { seconds: 30n };
const FAR_MS = 10_000;

for (const name of Object.keys(transports("http://x", ""))) {
  test(`a call under way finishes before the server stops: ${name}`, async () => {
    await using server = await fakeServer();
    const client = createClient(WorkerService, transports(server.url, WORKER_TOKEN)[name] as never);
    const call = client.claim({ workerId: "w", wait });
    await server.claimStarted;
    const stopped = server.stop(FAR_MS);
    server.finishClaim();
    expect((await call).jobs[0]?.leaseToken).toBe("lease-of-w");
    expect(await stopped).toBe(true);
    expect(server.inFlight).toBe(0);
  });
}

test("a call under way by @grpc/grpc-js finishes, a new one on its connection hears SHUTTING_DOWN", async () => {
  await using server = await fakeServer();
  const client = new grpc.Client(`127.0.0.1:${server.port}`, grpc.credentials.createInsecure());
  const claim = (more: object) =>
    callGrpcJs(client, WorkerService.method.claim, { workerId: "w", ...more }, WORKER_TOKEN);
  const call = claim({ wait });
  await server.claimStarted;
  const stopped = server.stop(FAR_MS);
  expect(await claim({}).catch(readError)).toMatchObject({
    code: Code.Unavailable,
    reason: "SHUTTING_DOWN",
    retryMs: 1_000,
  });
  expect(await callGrpcJs(client, Health.method.check, {}).catch(readError)).toMatchObject({ status: 2 });
  server.finishClaim();
  expect((await call).jobs).toHaveLength(1);
  expect(await stopped).toBe(true);
  client.close();
});

test("a draining server refuses new calls in every protocol, and REST, without closing", async () => {
  await using server = await fakeServer({ rest: () => false, restPaths: [] });
  server.drain();
  for (const [name, transport] of Object.entries(transports(server.url, WORKER_TOKEN))) {
    const err = await createClient(WorkerService, transport).claim({ workerId: "w" }).catch(readError);
    expect(err, name).toMatchObject({ code: Code.Unavailable, reason: "SHUTTING_DOWN", retryMs: 1_000 });
  }
  const rest = await fetch(`${server.url}/api/v1/internal/ai/job/next/`);
  expect([rest.status, rest.headers.get("retry-after")]).toEqual([503, "1"]);
  expect(await rest.json()).toMatchObject({ reason: "SHUTTING_DOWN" });
});

test("idle connections of both versions end at once", async () => {
  await using server = await fakeServer();
  const http1 = await rawSocket(server.port, "GET /nope HTTP/1.1\r\nHost: x\r\n\r\n");
  await expect.poll(http1.text, { timeout: POLL_MS }).toContain("unimplemented");
  const session = http2.connect(server.url);
  await new Promise((resolve) => session.once("remoteSettings", resolve));
  const goaway = new Promise((resolve) => session.once("goaway", (code: number) => resolve(code)));
  const silent = await rawSocket(server.port);
  const startedAt = performance.now();
  expect(await server.stop(FAR_MS)).toBe(true);
  expect(performance.now() - startedAt).toBeLessThan(FAR_MS / 2);
  await Promise.all([http1.closed, silent.closed]);
  expect(await goaway).toBe(0);
});

test("an HTTP/2 client that never reacts holds nothing up", async () => {
  await using server = await fakeServer();
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const mute = await rawSocket(server.port, Buffer.concat([preface, Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]));
  mute.socket.pause();
  const noSettings = await rawSocket(server.port, preface);
  const halfClosed = await rawSocket(server.port, preface);
  halfClosed.socket.end();
  await halfClosed.closed;
  await expect.poll(() => noSettings.text().length, { timeout: POLL_MS }).toBeGreaterThan(0);
  const startedAt = performance.now();
  expect(await server.stop(FAR_MS)).toBe(true);
  expect(performance.now() - startedAt).toBeLessThan(FAR_MS / 2);
  mute.socket.destroy();
});

test("under TLS, connections in the middle of their handshake end at once too", async () => {
  await using server = await fakeServer({ tls: selfSigned() });
  const half = await rawSocket(server.port, Buffer.from([0x16, 3, 1, 2]));
  const silent = await rawSocket(server.port);
  // Accepted in order: when a later one is served, these two are in.
  await https404(server.port);
  const startedAt = performance.now();
  expect(await server.stop(FAR_MS)).toBe(true);
  expect(performance.now() - startedAt).toBeLessThan(FAR_MS / 2);
  await Promise.all([half.closed, silent.closed]);
});

test("an HTTP/1.1 connection is told to close with the answer to its last call", async () => {
  await using server = await fakeServer();
  const json = '{"workerId":"w","wait":"30s"}';
  const head = `POST /aibroker.v1.WorkerService/Claim HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nx-worker-token: ${WORKER_TOKEN}\r\n`;
  const { closed } = await rawSocket(server.port, `${head}Content-Length: ${json.length}\r\n\r\n${json}`);
  await server.claimStarted;
  const stopped = server.stop(FAR_MS);
  server.finishClaim();
  const said = await closed;
  expect(said.toLowerCase()).toContain("connection: close");
  expect(said).toContain("lease-of-w");
  expect(await stopped).toBe(true);
});

test("what outlives the deadline is cut off, and stop says so", async () => {
  await using server = await fakeServer();
  const transport = createGrpcTransport({ baseUrl: server.url, interceptors: [withToken(WORKER_TOKEN)] });
  const call = createClient(WorkerService, transport).claim({ workerId: "w", wait }).catch(readError);
  await server.claimStarted;
  expect(await server.stop(20)).toBe(false);
  expect(await call).toMatchObject({ code: expect.any(Number), reason: undefined });
});

test("a second stop brings the deadline forward and has the same answer", async () => {
  await using server = await fakeServer();
  const transport = createConnectTransport({
    baseUrl: server.url,
    httpVersion: "1.1",
    interceptors: [withToken(WORKER_TOKEN)],
  });
  const call = createClient(WorkerService, transport).claim({ workerId: "w", wait }).catch(readError);
  await server.claimStarted;
  const first = server.stop(60_000);
  const second = server.stop(0);
  expect(await Promise.all([first, second])).toEqual([false, false]);
  expect(await call).toMatchObject({ code: expect.any(Number) });
  expect(await server.stop(60_000)).toBe(false);
});

test("a server stops twice, and a stopped one takes nobody", async () => {
  const server = await fakeServer();
  expect(await Promise.all([server.stop(FAR_MS), server.stop(FAR_MS)])).toEqual([true, true]);
  const refused = await fetch(server.url).catch((err) => err.cause.code);
  expect(refused).toBe("ECONNREFUSED");
});

function https404(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    https
      .get({ port, host: "127.0.0.1", rejectUnauthorized: false, agent: false }, (res) =>
        res.resume().on("end", resolve),
      )
      .on("error", reject);
  });
}
