import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { AdminService } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { createGate } from "../../src/rpc/auth.ts";
import { createTokens } from "../../src/tokens.ts";
import { API_TOKEN, fakeServer, WORKER_TOKEN } from "../support/fake-services.ts";
import { callGrpcJs, readError, transports } from "../support/rpc-clients.ts";

type Headers_ = Record<string, string>;
const worker: Headers_ = { "x-worker-token": "w1" };
const api: Headers_ = { "x-worker-token": "a1" };

/** The reason of the refusal, or "open". */
function tried(gate: ReturnType<typeof createGate>, service: { typeName: string }, headers: Headers_): string {
  try {
    gate({ service: service as never, requestHeader: new Headers(headers) });
    return "open";
  } catch (err) {
    const { code, reason } = readError(err);
    return `${Code[code]} ${reason}`;
  }
}

const gateOf = (workers: string[], apis: string[], openIntrospection?: boolean) =>
  createGate({ workerTokens: createTokens(workers), apiTokens: createTokens(apis), openIntrospection });

test("a worker's token opens WorkerService alone, an api token JobService and AdminService alone", () => {
  const gate = gateOf(["w1"], ["a1"]);
  const table = [WorkerService, JobService, AdminService].map((service) => [
    tried(gate, service, worker),
    tried(gate, service, api),
    tried(gate, service, { "x-worker-token": "x" }),
    tried(gate, service, {}),
  ]);
  const unknown = "Unauthenticated BAD_TOKEN";
  const wrong = "PermissionDenied WRONG_ROLE";
  expect(table).toEqual([
    ["open", wrong, unknown, unknown],
    [wrong, "open", unknown, unknown],
    [wrong, "open", unknown, unknown],
  ]);
});

test("a side without a token is closed before anything else is looked at", () => {
  const closed = "Unavailable TOKEN_NOT_CONFIGURED";
  const onlyApi = gateOf([], ["a1"]);
  expect([worker, api, {}].map((headers) => tried(onlyApi, WorkerService, headers))).toEqual([closed, closed, closed]);
  expect(tried(onlyApi, JobService, api)).toBe("open");
  const onlyWorkers = gateOf(["w1"], []);
  expect([worker, api, {}].map((headers) => tried(onlyWorkers, JobService, headers))).toEqual([closed, closed, closed]);
  expect(tried(onlyWorkers, AdminService, worker)).toBe(closed);
  expect(tried(onlyWorkers, WorkerService, worker)).toBe("open");
});

test("the token may come as Bearer, in any case, and one that fits is enough", () => {
  const gate = gateOf(["w1", "w2"], ["a1"]);
  for (const authorization of ["Bearer w2", "bearer w2", "BEARER  w2"]) {
    expect(tried(gate, WorkerService, { authorization }), authorization).toBe("open");
  }
  expect(tried(gate, WorkerService, { authorization: "Bearer a1", "x-worker-token": "w1" })).toBe("open");
  expect(tried(gate, WorkerService, { authorization: "Bearer w1", "x-worker-token": "x" })).toBe("open");
  for (const authorization of ["w1", "Basic w1", "Bearer", "Bearer "]) {
    expect(tried(gate, WorkerService, { authorization }), authorization).toBe("Unauthenticated BAD_TOKEN");
  }
});

test("one token in both lists opens both sides", () => {
  const gate = gateOf(["both"], ["both"]);
  const headers = { "x-worker-token": "both" };
  expect([WorkerService, JobService].map((service) => tried(gate, service, headers))).toEqual(["open", "open"]);
});

test("health and reflection are open by default, and behind any valid token when closed", () => {
  const services = [Health, ServerReflection, ServerReflectionAlpha];
  for (const gate of [gateOf(["w1"], ["a1"]), gateOf([], [])]) {
    expect(services.map((service) => tried(gate, service, {}))).toEqual(["open", "open", "open"]);
  }
  const closed = gateOf(["w1"], ["a1"], false);
  for (const service of services) {
    const tries = [{}, { "x-worker-token": "x" }, worker, api].map((headers) => tried(closed, service, headers));
    expect(tries).toEqual(["Unauthenticated BAD_TOKEN", "Unauthenticated BAD_TOKEN", "open", "open"]);
  }
  expect(tried(gateOf([], [], false), Health, {})).toBe("Unavailable TOKEN_NOT_CONFIGURED");
});

test("a service that nobody gave a side to is closed to workers", () => {
  expect(tried(gateOf(["w1"], ["a1"]), { typeName: "aibroker.v1.New" }, worker)).toBe("PermissionDenied WRONG_ROLE");
});

test("a refusal never quotes a token", () => {
  const gate = gateOf(["worker-canary"], ["api-canary"]);
  for (const token of ["worker-canary", "api-canary", "other-canary"]) {
    for (const service of [WorkerService, JobService]) {
      const said = trySay(gate, service, { "x-worker-token": token });
      expect(said).not.toContain("canary");
    }
  }
});

function trySay(
  gate: ReturnType<typeof createGate>,
  service: typeof WorkerService | typeof JobService,
  headers: Headers_,
) {
  try {
    gate({ service, requestHeader: new Headers(headers) });
    return "";
  } catch (err) {
    return JSON.stringify(readError(err));
  }
}

test("the gate holds for every protocol on the wire", async () => {
  await using server = await fakeServer();
  for (const [token, reason] of [
    ["", "BAD_TOKEN"],
    [API_TOKEN, "WRONG_ROLE"],
    ["x", "BAD_TOKEN"],
  ] as const) {
    for (const [name, transport] of Object.entries(transports(server.url, token))) {
      const err = await createClient(WorkerService, transport).claim({ workerId: "w" }).catch(readError);
      expect(err, `${name} with "${token}"`).toMatchObject({ reason, domain: "aibroker" });
    }
  }
  for (const transport of Object.values(transports(server.url, `Bearer ${WORKER_TOKEN}`))) {
    expect((await createClient(WorkerService, transport).claim({ workerId: "w" })).jobs).toHaveLength(1);
  }
});

test("a large request without a token is refused unread, and its connection goes on", async () => {
  await using server = await fakeServer({ maxMessageBytes: 32 * 1024 * 1024 });
  const client = new grpc.Client(`127.0.0.1:${server.port}`, grpc.credentials.createInsecure());
  const jobs = [{ type: "ocr", payloadJson: "x".repeat(8 * 1024 * 1024) }];
  const refused = await callGrpcJs(client, JobService.method.dispatch, { jobs }, "nope").catch(readError);
  expect(refused).toMatchObject({ code: Code.Unauthenticated, reason: "BAD_TOKEN" });
  const taken = await callGrpcJs(client, JobService.method.dispatch, { jobs }, API_TOKEN);
  expect(taken.results).toHaveLength(1);
  for (const [name, transport] of Object.entries(transports(server.url, "nope"))) {
    const err = await createClient(JobService, transport)
      .dispatch({ jobs })
      .catch((e) => e);
    expect(err, name).toBeInstanceOf(ConnectError);
    expect(readError(err).reason, name).toBe("BAD_TOKEN");
  }
  client.close();
});

test("the gate also holds where no socket is, through a router's transport", async () => {
  const transport = createRouterTransport((router) => router.service(JobService, {}), {
    router: { requestGate: gateOf(["w1"], ["a1"]) },
  });
  const err = await createClient(JobService, transport).getJob({ jobId: "j" }).catch(readError);
  expect(err).toMatchObject({ reason: "BAD_TOKEN" });
});
