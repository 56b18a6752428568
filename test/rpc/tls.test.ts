import https from "node:https";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { fakeServer, WORKER_TOKEN } from "../support/fake-services.ts";
import { callGrpcJs, withToken } from "../support/rpc-clients.ts";
import { selfSigned } from "../support/self-signed.ts";
import { rawSocket } from "../support/sockets.ts";

/** How long a condition may take on a busy machine. */
const POLL_MS = 10_000;

const tls = selfSigned();

test("with a certificate the port speaks TLS: gRPC, Connect and REST", async () => {
  await using server = await fakeServer({ tls });
  expect(server.url).toBe(`https://127.0.0.1:${server.port}`);
  const nodeOptions = { ca: tls.cert };
  const interceptors = [withToken(WORKER_TOKEN)];
  for (const transport of [
    createGrpcTransport({ baseUrl: server.url, nodeOptions, interceptors }),
    createConnectTransport({ baseUrl: server.url, httpVersion: "2", nodeOptions, interceptors }),
    createConnectTransport({ baseUrl: server.url, httpVersion: "1.1", nodeOptions, interceptors }),
  ]) {
    expect((await createClient(WorkerService, transport).claim({ workerId: "w" })).jobs).toHaveLength(1);
  }
  const client = new grpc.Client(`localhost:${server.port}`, grpc.credentials.createSsl(Buffer.from(tls.cert)));
  const claimed = await callGrpcJs(client, WorkerService.method.claim, { workerId: "js" }, WORKER_TOKEN);
  expect(claimed.jobs).toHaveLength(1);
  client.close();
  expect(await httpsStatus(server.port)).toBe(404);
  expect(await server.stop(5_000)).toBe(true);
});

test("plain text to a TLS port, a handshake left half and a client that trusts nobody harm nobody else", async () => {
  await using server = await fakeServer({ tls, limits: { prefaceTimeoutMs: 1_000 } });
  const plain = await rawSocket(server.port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  expect(await plain.closed).not.toContain("HTTP/1.1 200");
  const half = await rawSocket(server.port, Buffer.from([0x16, 3, 1, 2]));
  await half.closed;
  const distrust = createGrpcTransport({ baseUrl: server.url });
  await expect(createClient(WorkerService, distrust).claim({ workerId: "w" })).rejects.toThrow(/certificate/);
  expect(await httpsStatus(server.port)).toBe(404);
});

test("slow HTTP/1.1 requests time out under TLS too", async () => {
  const limits = { headersTimeoutMs: 60, requestTimeoutMs: 120, timeoutCheckMs: 20 };
  await using server = await fakeServer({ tls, limits });
  const ended = await new Promise((resolve) => {
    const path = "/aibroker.v1.WorkerService/Claim";
    const headers = { "content-type": "application/json", "content-length": "10", "x-worker-token": WORKER_TOKEN };
    const req = https.request({ port: server.port, host: "localhost", ca: tls.cert, method: "POST", path, headers });
    req.on("response", (res) => resolve(res.resume().statusCode));
    req.on("error", () => resolve("closed"));
    req.flushHeaders();
  });
  expect([408, "closed"]).toContain(ended);
  await expect.poll(() => server.inFlight, { timeout: POLL_MS }).toBe(0);
});

test("a certificate that is none stops the start with words", async () => {
  const failed = await fakeServer({ tls: { cert: "no", key: tls.key } }).catch((err: Error) => err.message);
  expect(failed).toMatch(/TLS certificate or key cannot be used .*PEM/);
});

function httpsStatus(port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    https
      .get({ port, host: "localhost", ca: tls.cert, agent: false }, (res) => resolve(res.resume().statusCode))
      .on("error", reject);
  });
}
