/** Certificates that are renewed on disk, and clients that must show one: by real handshakes. */
import { X509Certificate } from "node:crypto";
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { type FakeServer, fakeServer, WORKER_TOKEN } from "../support/fake-services.ts";
import { callGrpcJs, withToken } from "../support/rpc-clients.ts";
import { type Pem, selfSigned } from "../support/self-signed.ts";
import { until } from "../support/until.ts";

let folder = "";
const at = (name: string) => join(folder, name);
const files = () => ({ cert: at("tls.crt"), key: at("tls.key") });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "aibroker-tls-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(pem: Partial<Pem>): void {
  if (pem.cert !== undefined) writeFileSync(at("tls.crt"), pem.cert);
  if (pem.key !== undefined) writeFileSync(at("tls.key"), pem.key);
}

/** The fingerprint of the certificate that a new connection is shown. */
function shownBy(server: FakeServer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

const printOf = ({ cert }: Pem) => new X509Certificate(cert).fingerprint256;
const logged = (server: FakeServer, words: string) => server.logged.filter((line) => line.includes(words));
const refused = (server: FakeServer) => logged(server, "the new TLS files are not used");

function claimAt(server: FakeServer, nodeOptions: tls.ConnectionOptions) {
  const transport = createGrpcTransport({ baseUrl: server.url, nodeOptions, interceptors: [withToken(WORKER_TOKEN)] });
  return createClient(WorkerService, transport).claim({ workerId: "w" });
}

test("a renewed pair is shown to new connections, and a call that is under way ends as if nothing were", async () => {
  const [old, renewed] = [selfSigned(), selfSigned()];
  write(old);
  await using server = await fakeServer({ tlsFiles: files() });
  expect(await shownBy(server)).toBe(printOf(old));
  const channel = new grpc.Client(`localhost:${server.port}`, grpc.credentials.createSsl(Buffer.from(old.cert)));
  const long = callGrpcJs(channel, WorkerService.method.claim, { workerId: "js", wait: {} }, WORKER_TOKEN);
  await server.claimStarted;
  write({ cert: renewed.cert });
  write({ key: renewed.key });
  await until("the new one is shown", async () => (await shownBy(server)) === printOf(renewed));
  expect(refused(server)).toEqual([]);
  server.finishClaim();
  expect((await long).jobs).toHaveLength(1);
  // The old connection goes on, and the new certificate serves gRPC and HTTP/1.1.
  expect((await callGrpcJs(channel, WorkerService.method.claim, { workerId: "js" }, WORKER_TOKEN)).jobs).toHaveLength(
    1,
  );
  channel.close();
  expect((await claimAt(server, { ca: renewed.cert })).jobs).toHaveLength(1);
  expect(await httpStatus(server, { ca: renewed.cert })).toBe(404);
});

test("a swapped symbolic link, as Kubernetes does it, is seen", async () => {
  const [old, renewed] = [selfSigned(), selfSigned()];
  for (const [name, pem] of Object.entries({ first: old, second: renewed })) {
    writeFileSync(at(`${name}.crt`), pem.cert);
    writeFileSync(at(`${name}.key`), pem.key);
  }
  const point = (name: string) => {
    for (const end of ["crt", "key"]) {
      symlinkSync(`${name}.${end}`, at(`new.${end}`));
      renameSync(at(`new.${end}`), at(`tls.${end}`));
    }
  };
  point("first");
  await using server = await fakeServer({ tlsFiles: files() });
  point("second");
  await until("the new one is shown", async () => (await shownBy(server)) === printOf(renewed));
});

test("a look finds what no watch told", async () => {
  const [old, renewed] = [selfSigned(), selfSigned()];
  write(old);
  await using server = await fakeServer({ tlsFiles: files() });
  write(renewed);
  await server.lookAtTls();
  expect(await shownBy(server)).toBe(printOf(renewed));
});

test.each<[string, () => Partial<Pem>, string]>([
  ["another's key", () => ({ key: selfSigned().key }), "TLS_KEY_FILE is not the key"],
  ["no certificate", () => ({ cert: "no" }), "TLS_CERT_FILE holds no PEM certificate"],
  ["no key", () => ({ key: "no" }), "TLS_KEY_FILE holds no PEM private key"],
  ["an expired pair", () => selfSigned({ days: -1 }), "TLS_CERT_FILE: the certificate has expired"],
])("%s changes nothing, and is told once", async (_, bad, words) => {
  const old = selfSigned();
  write(old);
  await using server = await fakeServer({ tlsFiles: files() });
  write(bad());
  await until("it is told", () => refused(server).length > 0);
  await server.lookAtTls();
  await server.lookAtTls();
  expect(refused(server)).toEqual([expect.stringContaining(words)]);
  expect(refused(server)[0]).not.toContain("PRIVATE KEY");
  expect(await shownBy(server)).toBe(printOf(old));
  const good = selfSigned();
  write(good);
  await until("the good one is shown", async () => (await shownBy(server)) === printOf(good));
});

test("a file that is gone is told by its path", async () => {
  write(selfSigned());
  await using server = await fakeServer({ tlsFiles: files() });
  rmSync(at("tls.key"));
  await until("it is told", () => refused(server).length > 0);
  expect(refused(server)[0]).toContain(`TLS_KEY_FILE: ${at("tls.key")} cannot be read (ENOENT)`);
});

test("a start with a file that is not there says which", async () => {
  await expect(fakeServer({ tlsFiles: files() })).rejects.toThrow(`TLS_CERT_FILE: ${at("tls.crt")} cannot be read`);
});

test("with a client CA only who shows a certificate of it is served, over gRPC and HTTP/1.1", async () => {
  const own = selfSigned();
  const ca = selfSigned({ isCa: true, name: "clients" });
  const member = selfSigned({ issuer: ca, issuerName: "clients", name: "worker-1" });
  const stranger = selfSigned({ issuer: selfSigned({ isCa: true, name: "clients" }), issuerName: "clients" });
  write(own);
  writeFileSync(at("ca.pem"), ca.cert);
  await using server = await fakeServer({ tlsFiles: { ...files(), clientCa: at("ca.pem") } });
  expect((await claimAt(server, { ca: own.cert, ...member })).jobs).toHaveLength(1);
  expect(await httpStatus(server, { ca: own.cert, ...member })).toBe(404);
  for (const pem of [{}, stranger]) {
    await expect(claimAt(server, { ca: own.cert, ...pem })).rejects.toThrow();
    await expect(httpStatus(server, { ca: own.cert, ...pem })).rejects.toThrow();
  }
  expect(logged(server, "a TLS handshake failed").length).toBeGreaterThanOrEqual(4);

  // Another CA: new connections must be of it.
  const next = selfSigned({ isCa: true, name: "next" });
  writeFileSync(at("ca.pem"), next.cert);
  await server.lookAtTls();
  await expect(httpStatus(server, { ca: own.cert, ...member })).rejects.toThrow();
  const joined = selfSigned({ issuer: next, issuerName: "next" });
  expect(await httpStatus(server, { ca: own.cert, ...joined })).toBe(404);
  expect(await server.stop(5_000)).toBe(true);
});

function httpStatus(server: FakeServer, options: tls.ConnectionOptions): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    https
      .get({ port: server.port, host: "localhost", agent: false, ...options }, (res) =>
        resolve(res.resume().statusCode),
      )
      .on("error", reject);
  });
}
