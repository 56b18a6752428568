import { execFile } from "node:child_process";
import type http from "node:http";
import http2 from "node:http2";
import { promisify } from "node:util";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { ClaimRequestSchema, WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { API_TOKEN, fakeServer, WORKER_TOKEN } from "../support/fake-services.ts";
import { callGrpcJs, readError, transports } from "../support/rpc-clients.ts";

const buf = (...args: string[]) => promisify(execFile)("node_modules/.bin/buf", ["curl", ...args]);

test("gRPC, gRPC-Web and Connect are answered on one port, over both versions of HTTP", async () => {
  await using server = await fakeServer();
  for (const [name, transport] of Object.entries(transports(server.url, WORKER_TOKEN))) {
    const answer = await createClient(WorkerService, transport).claim({ workerId: name });
    expect(answer.jobs[0]?.leaseToken, name).toBe(`lease-of-${name}`);
  }
});

test("each protocol carries an error's code, message and details", async () => {
  await using server = await fakeServer();
  for (const [name, transport] of Object.entries(transports(server.url, API_TOKEN))) {
    const err = await createClient(JobService, transport).getJob({ jobId: "bad" }).catch(readError);
    expect(err, name).toEqual({
      code: Code.InvalidArgument,
      message: "job_id: is longer than 64 characters",
      reason: "BAD_FIELD",
      domain: "aibroker",
      fields: ["job_id", "job_id"],
      retryMs: undefined,
    });
  }
});

test("@grpc/grpc-js calls it and finds the details in grpc-status-details-bin", async () => {
  await using server = await fakeServer();
  const client = new grpc.Client(`127.0.0.1:${server.port}`, grpc.credentials.createInsecure());
  const claimed = await callGrpcJs(client, WorkerService.method.claim, { workerId: "js" }, WORKER_TOKEN);
  expect(claimed.jobs[0]?.leaseToken).toBe("lease-of-js");
  const err = await callGrpcJs(client, JobService.method.getJob, { jobId: "down" }, API_TOKEN).catch(readError);
  expect(err).toMatchObject({ code: Code.Unavailable, reason: "DATABASE_DOWN", domain: "aibroker", retryMs: 1_000 });
  client.close();
});

test("buf curl calls it by reflection, with no proto file", async () => {
  await using server = await fakeServer();
  const args = ["--protocol", "grpc", "--http2-prior-knowledge", "--header", `x-worker-token: ${WORKER_TOKEN}`];
  for (const reflect of ["grpc-v1", "grpc-v1alpha"]) {
    const url = `${server.url}/aibroker.v1.WorkerService/Claim`;
    const { stdout } = await buf(...args, "--reflect-protocol", reflect, "-d", '{"worker_id":"buf"}', url);
    expect(JSON.parse(stdout), reflect).toEqual({ jobs: [{ leaseToken: "lease-of-buf" }] });
  }
  const { stdout } = await buf("--http2-prior-knowledge", "--list-methods", server.url);
  expect(stdout).toContain("aibroker.v1.JobService/Dispatch");
});

test("plain HTTP gets JSON in and out, and a GET where a method only reads", async () => {
  await using server = await fakeServer();
  const headers = { "content-type": "application/json", authorization: `Bearer ${API_TOKEN}` };
  const body = JSON.stringify({ jobs: [{ type: "ocr" }] });
  const posted = await fetch(`${server.url}/aibroker.v1.JobService/Dispatch`, { method: "POST", headers, body });
  expect(await posted.json()).toEqual({ results: [{ jobId: "ocr", created: true }] });
  const query = `encoding=json&message=${encodeURIComponent('{"jobId":"j1"}')}`;
  const got = await fetch(`${server.url}/aibroker.v1.JobService/GetJob?${query}`, { headers });
  expect(await got.json()).toMatchObject({ job: { job: { id: "j1" } } });
});

test("REST gets what no RPC has, over both versions of HTTP", async () => {
  const rest = (req: http.IncomingMessage, res: http.ServerResponse) => {
    if (req.url !== "/rest") return false;
    res.writeHead(200, { "content-type": "text/plain" }).end(`rest over ${req.httpVersion}`);
    return true;
  };
  await using server = await fakeServer({ rest, restPaths: ["/rest"] });
  expect(await (await fetch(`${server.url}/rest`)).text()).toBe("rest over 1.1");
  expect((await h2Get(server.url, "/rest")).body).toBe("rest over 2.0");
  for (const answer of [await fetch(`${server.url}/nope?x=1`), await h2Get(server.url, "/nope?x=1")]) {
    expect(answer.status).toBe(404);
    const said = typeof answer.body === "string" ? JSON.parse(answer.body) : await (answer as Response).json();
    expect(said).toMatchObject({ code: "unimplemented", message: "nothing is served at GET /nope", rest: ["/rest"] });
    expect(said.services).toContain("aibroker.v1.WorkerService");
  }
});

test("a fault in REST is a 500 that tells nothing, and the next request is served", async () => {
  let calls = 0;
  const rest = async (_req: http.IncomingMessage, res: http.ServerResponse) => {
    calls += 1;
    if (calls === 1) throw new Error("secret-inside");
    res.end("fine");
    return true;
  };
  await using server = await fakeServer({ rest });
  const failed = await fetch(`${server.url}/rest`);
  expect([failed.status, await failed.text()]).toEqual([500, expect.not.stringContaining("secret-inside")]);
  expect(await (await fetch(`${server.url}/rest`)).text()).toBe("fine");
  expect(server.logged.some((line) => line.includes("secret-inside"))).toBe(true);
});

test("a gRPC call to an unknown method says UNIMPLEMENTED and names the services", async () => {
  await using server = await fakeServer();
  const client = new grpc.Client(`127.0.0.1:${server.port}`, grpc.credentials.createInsecure());
  const unknown = { ...WorkerService.method.claim, parent: { typeName: "aibroker.v9.Nope" } } as never;
  const err = await callGrpcJs(client, unknown as typeof WorkerService.method.claim, {}).catch(readError);
  expect(err).toMatchObject({ code: Code.Unimplemented, message: expect.stringContaining("aibroker.v1.JobService") });
  client.close();
});

test("a message above the transport's limit is RESOURCE_EXHAUSTED and the connection goes on", async () => {
  await using server = await fakeServer({ maxMessageBytes: 10_000 });
  for (const [name, transport] of Object.entries(transports(server.url, WORKER_TOKEN))) {
    const client = createClient(WorkerService, transport);
    const err = await client.claim({ workerId: "x".repeat(20_000) }).catch(readError);
    expect(err, name).toMatchObject({ code: Code.ResourceExhausted });
    expect((await client.claim({ workerId: "small" })).jobs).toHaveLength(1);
  }
});

test("a compressed message is measured unpacked", async () => {
  await using server = await fakeServer({ maxMessageBytes: 10_000 });
  const client = new grpc.Client(`127.0.0.1:${server.port}`, grpc.credentials.createInsecure(), {
    "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip,
  });
  const claim = (workerId: string) => callGrpcJs(client, WorkerService.method.claim, { workerId }, WORKER_TOKEN);
  expect(await claim("x".repeat(100_000)).catch(readError)).toMatchObject({ code: Code.ResourceExhausted });
  expect((await claim("x".repeat(5_000))).jobs).toHaveLength(1);
  client.close();
});

test("a deadline longer than a timer can hold is taken for none, a shorter one is kept", async () => {
  await using server = await fakeServer();
  const hasDeadline = async (type: string, header: Record<string, string>) => {
    const headers = { "content-type": type, "x-worker-token": WORKER_TOKEN, ...header };
    const path = `${server.url}/aibroker.v1.WorkerService/Claim`;
    const body = type === "application/json" ? '{"workerId":"deadline"}' : envelope({ workerId: "deadline" });
    const answer = await (await fetch(path, { method: "POST", headers, body })).text();
    return answer.includes("true");
  };
  for (const timeout of ["99999999H", "60000M", "9999999S"]) {
    expect(await hasDeadline("application/grpc-web+proto", { "grpc-timeout": timeout }), timeout).toBe(false);
  }
  for (const timeout of ["500H", "30000M", "90S", "99999999m"]) {
    expect(await hasDeadline("application/grpc-web+proto", { "grpc-timeout": timeout }), timeout).toBe(true);
  }
  expect(await hasDeadline("application/json", { "connect-timeout-ms": "9999999999" })).toBe(false);
  expect(await hasDeadline("application/json", { "connect-timeout-ms": "5000" })).toBe(true);
});

function envelope(init: MessageInitShape<typeof ClaimRequestSchema>): Buffer {
  const message = toBinary(ClaimRequestSchema, create(ClaimRequestSchema, init));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

async function h2Get(url: string, path: string): Promise<{ status: number; body: string }> {
  const session = http2.connect(url);
  const stream = session.request({ ":path": path });
  const head = Promise.withResolvers<http2.IncomingHttpHeaders>();
  stream.on("response", head.resolve);
  let body = "";
  for await (const chunk of stream) body += chunk;
  session.close();
  return { status: Number((await head.promise)[":status"]), body };
}
