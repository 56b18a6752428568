import { gzipSync } from "node:zlib";
import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { errorFromJson } from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import * as grpc from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { API_TOKEN, type FakeServer, fakeServer, WORKER_TOKEN } from "../support/fake-services.ts";
import { readError, transports } from "../support/rpc-clients.ts";

const LIMIT = 10_000;
const CLAIM = "aibroker.v1.WorkerService/Claim";
const GET_JOB = "aibroker.v1.JobService/GetJob";
const WATCH = "grpc.health.v1.Health/Watch";

interface Sent {
  path: string;
  type: string;
  body: Buffer | string;
  method?: string;
  headers?: Record<string, string>;
}

/** One HTTP/1.1 request, and the error that it is answered with, in whatever form. */
async function errorOf(server: FakeServer, sent: Sent) {
  const { path, type, body, method = "POST", headers = {} } = sent;
  const token = path === GET_JOB ? API_TOKEN : WORKER_TOKEN;
  const answer = await fetch(`${server.url}/${path}`, {
    method,
    headers: { "x-worker-token": token, "content-type": type, ...headers },
    body: typeof body === "string" ? body : new Uint8Array(body),
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  return readError(read(type, answer.headers, bytes));
}

function read(type: string, headers: Headers, bytes: Buffer): ConnectError | undefined {
  if (type.startsWith("application/grpc-web")) {
    if (headers.has("grpc-status")) return findTrailerError(headers);
    const lines = bytes.subarray(5).toString().trimEnd().split("\r\n");
    return findTrailerError(new Headers(lines.map((line) => line.split(/: (.*)/s, 2) as [string, string])));
  }
  const json = JSON.parse(bytes.subarray(type.startsWith("application/connect") ? 5 : 0).toString());
  return errorFromJson(json.error ?? json, undefined, new Error("no error was answered") as ConnectError);
}

function enveloped(message: Buffer, flags = 0): Buffer {
  const head = Buffer.alloc(5, flags);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

const JSON_TYPE = "application/json";
const WEB = "application/grpc-web+proto";
const STREAM = "application/connect+json";
const BROKEN = Buffer.from([0x0a, 0x7f, 0x01]);
const long = `{"workerId":"${"x".repeat(2 * LIMIT)}"}`;

const CASES: [string, Sent, Code, string][] = [
  ["no JSON", { path: CLAIM, type: JSON_TYPE, body: "{" }, Code.InvalidArgument, "MALFORMED_REQUEST"],
  ["no body", { path: CLAIM, type: JSON_TYPE, body: "" }, Code.InvalidArgument, "MALFORMED_REQUEST"],
  [
    "a value of another type",
    { path: CLAIM, type: JSON_TYPE, body: '{"maxJobs":"many"}' },
    Code.InvalidArgument,
    "MALFORMED_REQUEST",
  ],
  [
    "half a pair",
    { path: CLAIM, type: JSON_TYPE, body: '{"workerId":"\\ud800"}' },
    Code.InvalidArgument,
    "MALFORMED_REQUEST",
  ],
  ["no protobuf", { path: CLAIM, type: "application/proto", body: BROKEN }, Code.Internal, "MALFORMED_REQUEST"],
  ["no protobuf in gRPC-Web", { path: CLAIM, type: WEB, body: enveloped(BROKEN) }, Code.Internal, "MALFORMED_REQUEST"],
  [
    "half an envelope",
    { path: CLAIM, type: WEB, body: Buffer.from([0, 0, 0]) },
    Code.InvalidArgument,
    "MALFORMED_REQUEST",
  ],
  ["no message at all", { path: CLAIM, type: WEB, body: "" }, Code.Unimplemented, "NOT_SERVED"],
  [
    "no JSON in a stream",
    { path: WATCH, type: STREAM, body: enveloped(Buffer.from("{")) },
    Code.InvalidArgument,
    "MALFORMED_REQUEST",
  ],
  ["too large", { path: CLAIM, type: JSON_TYPE, body: long }, Code.ResourceExhausted, "REQUEST_TOO_LARGE"],
  [
    "too large in gRPC-Web",
    { path: CLAIM, type: WEB, body: enveloped(Buffer.from(long)) },
    Code.ResourceExhausted,
    "REQUEST_TOO_LARGE",
  ],
  [
    "too large once unpacked",
    { path: CLAIM, type: JSON_TYPE, body: gzipSync(long), headers: { "content-encoding": "gzip" } },
    Code.ResourceExhausted,
    "REQUEST_TOO_LARGE",
  ],
  [
    "a packing that nobody knows",
    { path: CLAIM, type: JSON_TYPE, body: "{}", headers: { "content-encoding": "zstd" } },
    Code.Unimplemented,
    "NOT_SERVED",
  ],
  [
    "a packing that it is not",
    { path: CLAIM, type: JSON_TYPE, body: "{}", headers: { "content-encoding": "gzip" } },
    Code.InvalidArgument,
    "MALFORMED_REQUEST",
  ],
  [
    "a deadline that is no number",
    { path: CLAIM, type: JSON_TYPE, body: "{}", headers: { "connect-timeout-ms": "soon" } },
    Code.InvalidArgument,
    "MALFORMED_REQUEST",
  ],
  [
    "an unknown method",
    { path: "aibroker.v1.JobService/Nope", type: JSON_TYPE, body: "{}" },
    Code.Unimplemented,
    "NOT_SERVED",
  ],
  ["an unknown method in gRPC-Web", { path: "a.B/C", type: WEB, body: "" }, Code.Unimplemented, "NOT_SERVED"],
  [
    "another HTTP method",
    { path: CLAIM, type: JSON_TYPE, body: "{}", method: "PUT" },
    Code.Unimplemented,
    "NOT_SERVED",
  ],
  ["another content type", { path: CLAIM, type: "text/plain", body: "{}" }, Code.Unimplemented, "NOT_SERVED"],
  [
    "gRPC-Web as text",
    { path: CLAIM, type: "application/grpc-web-text", body: "AAAA" },
    Code.Unimplemented,
    "NOT_SERVED",
  ],
  [
    "a stream both ways over HTTP/1.1",
    { path: "grpc.reflection.v1.ServerReflection/ServerReflectionInfo", type: "application/json", body: "" },
    Code.Unimplemented,
    "NOT_SERVED",
  ],
  [
    "a field that is none",
    { path: GET_JOB, type: JSON_TYPE, body: '{"jobIds":"x"}' },
    Code.InvalidArgument,
    "MALFORMED_REQUEST",
  ],
  [
    "a filter that is none",
    {
      path: "aibroker.v1.JobService/ListJobs",
      type: JSON_TYPE,
      body: '{"statuses":["PENDING"]}',
      headers: { "x-worker-token": API_TOKEN },
    },
    Code.InvalidArgument,
    "MALFORMED_REQUEST",
  ],
];

test.for(CASES)("an error of Connect's own carries an ErrorInfo: %s", async ([, sent, code, reason]) => {
  await using server = await fakeServer({ maxMessageBytes: LIMIT });
  const err = await errorOf(server, sent);
  expect(err).toMatchObject({ code, reason, domain: "aibroker" });
  expect(err.message).not.toBe("");
});

test("so it does over gRPC, and the log has a line without the words, which may quote a payload", async () => {
  await using server = await fakeServer({ maxMessageBytes: LIMIT });
  const client = new grpc.Client(`127.0.0.1:${server.port}`, grpc.credentials.createInsecure());
  const call = (path: string, bytes: Buffer) => callRaw(client, `/${path}`, bytes).catch(readError);
  expect(await call(CLAIM, BROKEN)).toMatchObject({ code: Code.Internal, reason: "MALFORMED_REQUEST" });
  expect(await call(CLAIM, Buffer.alloc(2 * LIMIT))).toMatchObject({
    code: Code.ResourceExhausted,
    reason: "REQUEST_TOO_LARGE",
  });
  expect(await call("aibroker.v1.JobService/Nope", Buffer.alloc(0))).toMatchObject({
    code: Code.Unimplemented,
    reason: "NOT_SERVED",
    domain: "aibroker",
  });
  client.close();
  await errorOf(server, { path: CLAIM, type: JSON_TYPE, body: '{"workerId":canary}' });
  const refused = server.logged.map((line) => JSON.parse(line)).filter(({ msg }) => msg === "call refused");
  expect(refused.map(({ method, code, reason }) => [method, code, reason])).toEqual([
    [CLAIM, "Internal", "MALFORMED_REQUEST"],
    [CLAIM, "ResourceExhausted", "REQUEST_TOO_LARGE"],
    [CLAIM, "InvalidArgument", "MALFORMED_REQUEST"],
  ]);
  expect(server.logged.join("")).not.toContain("canary");
});

test("an error that has its ErrorInfo gets no second one, in any protocol", async () => {
  await using server = await fakeServer();
  for (const [name, transport] of Object.entries(transports(server.url, ""))) {
    const health = createClient(Health, transport);
    const unknown = await health.check({ service: "a.B" }).catch(readError);
    expect(unknown, name).toMatchObject({ code: Code.NotFound, reason: "SERVICE_NOT_FOUND", domain: "aibroker" });
  }
});

test("a request that cannot be served in this way says which ways there are", async () => {
  await using server = await fakeServer();
  const put = await fetch(`${server.url}/${GET_JOB}`, { method: "PUT", body: "{}" });
  expect([put.status, put.headers.get("allow"), await put.text()]).toEqual([
    405,
    "POST, GET",
    expect.stringContaining("send POST or GET"),
  ]);
  const text = await fetch(`${server.url}/${GET_JOB}`, { method: "POST", body: "a=b" });
  expect([text.status, await text.text()]).toEqual([415, expect.stringContaining("application/json")]);
});

function callRaw(client: grpc.Client, path: string, bytes: Buffer): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const metadata = new grpc.Metadata();
    metadata.set("x-worker-token", WORKER_TOKEN);
    const pass = (value: Buffer) => value;
    client.makeUnaryRequest(path, pass, pass, bytes, metadata, (err, value) => {
      if (err === null) return resolve(value);
      const bin = err.metadata?.get("grpc-status-details-bin")[0];
      const headers = new Headers({ "grpc-status": String(err.code) });
      if (bin !== undefined) headers.set("grpc-status-details-bin", Buffer.from(bin as Buffer).toString("base64"));
      reject(findTrailerError(headers));
    });
  });
}
