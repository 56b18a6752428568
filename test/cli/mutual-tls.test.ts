/** A whole broker that asks for client certificates, with the command line and the SDK as its clients. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, inject, onTestFinished } from "vitest";
import { createClient, createWorker } from "../../src/client/index.ts";
import { API_TOKEN, startTestBroker, type TestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { selfSigned } from "../support/self-signed.ts";
import { runCli } from "./run-cli.ts";

const own = selfSigned();
const ca = selfSigned({ isCa: true, name: "clients" });
const member = selfSigned({ issuer: ca, issuerName: "clients", name: "operator" });

async function startMutual(url: string): Promise<{ broker: TestBroker; env: Record<string, string>; path: Paths }> {
  const folder = join(inject("runFolder"), "mutual-tls");
  mkdirSync(folder, { recursive: true });
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const path = { cert: file("client.pem", member.cert), key: file("client.key", member.key) };
  const serverFiles = { TLS_CERT_FILE: file("tls.pem", own.cert), TLS_KEY_FILE: file("tls.key", own.key) };
  const broker = await startTestBroker(url, { ...serverFiles, TLS_CLIENT_CA_FILE: file("ca.pem", ca.cert) });
  onTestFinished(() => broker.stop());
  const env = { BROKER_URL: broker.url, BROKER_TOKEN: API_TOKEN, NODE_EXTRA_CA_CERTS: serverFiles.TLS_CERT_FILE };
  return { broker, env, path };
}

interface Paths {
  cert: string;
  key: string;
}

test("the command line shows BROKER_CERT_FILE, and is told to where it has none", async ({ db: _, url }) => {
  const { env, path } = await startMutual(url);
  const known = { ...env, BROKER_CERT_FILE: path.cert, BROKER_KEY_FILE: path.key };
  expect(await runCli(["dispatch", "ocr", "{}", "--id", "a"], { env: known })).toMatchObject({
    code: 0,
    stdout: "a\n",
  });
  const unknown = await runCli(["jobs", "get", "a"], { env });
  expect(unknown.stderr).toContain("BROKER_CERT_FILE and BROKER_KEY_FILE");
  expect(unknown).toMatchObject({ stdout: "" });
  const half = await runCli(["jobs", "get", "a"], { env: { ...env, BROKER_CERT_FILE: path.cert } });
  expect(half).toMatchObject({ code: 2, stderr: expect.stringContaining("go together") });
  const mixed = { ...known, BROKER_CERT_FILE: String(env["NODE_EXTRA_CA_CERTS"]) };
  expect(await runCli(["jobs", "get", "a"], { env: mixed })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("are no pair"),
  });
});

test.for(["grpc-js", "connect"] as const)("the SDK shows cert and key over %s", async (transport, { db: _, url }) => {
  const { broker } = await startMutual(url);
  const options = { url: broker.url, ca: own.cert, transport, ...member };
  const worked = Promise.withResolvers<void>();
  const types = {
    note: {
      handler: () => {
        worked.resolve();
        return {};
      },
    },
  };
  const worker = createWorker({ ...options, token: WORKER_TOKEN, signals: false, types });
  const ending = new AbortController();
  const running = worker.run({ signal: ending.signal });
  await using client = createClient({ ...options, token: API_TOKEN });
  await client.dispatch("note", {});
  await worked.promise;
  ending.abort();
  await running;
  const { cert: _cert, key: _key, ...bare } = options;
  await using stranger = createClient({ ...bare, token: API_TOKEN, timeoutMs: 2_000 });
  await expect(stranger.dispatch("note", {})).rejects.toThrow();
});
