/** Who may call what: every method that the broker serves, every REST path and page, with every kind of token. */
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "vitest";
import { AdminService } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { SHIM_PATHS } from "../../src/rest/shim.ts";
import { openCaller, PROTOCOLS } from "../hostile/fuzz-calls.ts";
import { API_TOKEN, startTestBroker, type TestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";

type Role = "worker" | "api" | "anybody";

/** What one of INTERNAL_READ_TOKEN opens, and nothing else. */
const READS: ReadonlySet<string> = new Set([
  ...["GetJob", "ListJobs", "CountJobs", "ListJobEvents", "WatchJobs"],
  ...[
    "GetStats",
    "ListWorkers",
    "GetServerInfo",
    "ListWebhooks",
    "WatchStats",
    "GetHistory",
    "GetHealth",
    "ListStarts",
  ],
]);

const SERVICES = [
  [WorkerService, "worker"],
  [JobService, "api"],
  [AdminService, "api"],
  [Health, "anybody"],
  [ServerReflection, "anybody"],
  [ServerReflectionAlpha, "anybody"],
] as const;

const READ_TOKEN = "read-token";
const TOKENS = {
  worker: WORKER_TOKEN,
  api: API_TOKEN,
  read: READ_TOKEN,
  unknown: "unknown-token",
  none: "",
} as const;
type Sent = keyof typeof TOKENS;

const start = (url: string, env: Record<string, string> = {}) =>
  startTestBroker(url, { INTERNAL_READ_TOKEN: READ_TOKEN, ...env });

/** What the gate says; "open": it lets the call pass, whatever becomes of it then. */
function expected(role: Role, method: string, sent: Sent): string {
  if (role === "anybody" || role === sent) return "open";
  if (sent === "read" && role === "api" && READS.has(method)) return "open";
  return sent === "unknown" || sent === "none" ? "BAD_TOKEN" : "WRONG_ROLE";
}

/** Every method with every token in every protocol: a line for each that is not as it should be. */
async function misfits(broker: TestBroker, role: (role: Role) => Role): Promise<string[]> {
  const caller = openCaller(broker.url);
  const found: string[] = [];
  for (const [service, own] of SERVICES) {
    for (const method of service.methods) {
      // Only HTTP/2 carries a stream both ways, and browsers' protocols have none.
      const protocols = method.methodKind === "bidi_streaming" ? (["grpc"] as const) : PROTOCOLS;
      for (const protocol of protocols) {
        for (const sent of Object.keys(TOKENS) as Sent[]) {
          const messages = [Buffer.from(protocol === "connect-json" ? "{}" : "")];
          const { reason, unreadable } = await caller.send({ method, protocol, messages, token: TOKENS[sent] });
          const said = reason === "BAD_TOKEN" || reason === "WRONG_ROLE" ? reason : (unreadable ?? "open");
          const wanted = expected(role(own), method.name, sent);
          if (said !== wanted) found.push(`${method.name} by ${protocol} with ${sent}: ${said}, not ${wanted}`);
        }
      }
    }
  }
  caller.close();
  return found;
}

test("the matrix has every service that the broker lists", async ({ url }) => {
  await using broker = await start(url);
  const reflection = createClient(ServerReflection, createGrpcTransport({ baseUrl: broker.url }));
  const asked = (async function* () {
    yield { messageRequest: { case: "listServices", value: "" } } as const;
  })();
  const listed: string[] = [];
  for await (const { messageResponse } of reflection.serverReflectionInfo(asked)) {
    if (messageResponse.case === "listServicesResponse") {
      listed.push(...messageResponse.value.service.map(({ name }) => name));
    }
  }
  expect(listed.sort()).toEqual(SERVICES.map(([service]) => service.typeName).sort());
});

test("every method opens to its own role alone, in every protocol", async ({ url }) => {
  await using broker = await start(url);
  expect(await misfits(broker, (role) => role)).toEqual([]);
}, 60_000);

test("so does a method without side effects when it is asked for by GET", async ({ url }) => {
  await using broker = await start(url);
  for (const [service, role] of SERVICES) {
    for (const { name, idempotency } of service.methods) {
      // 1: NO_SIDE_EFFECTS.
      if (idempotency !== 1) continue;
      for (const sent of Object.keys(TOKENS) as Sent[]) {
        const query = "connect=v1&encoding=json&message=%7B%7D";
        const headers = { "x-worker-token": TOKENS[sent] };
        const answer = await fetch(`${broker.url}/${service.typeName}/${name}?${query}`, { headers });
        const closed = { BAD_TOKEN: 401, WRONG_ROLE: 403 }[expected(role, name, sent)];
        if (closed !== undefined) expect(answer.status, `${name} with ${sent}`).toBe(closed);
        else expect([401, 403], `${name} with ${sent}`).not.toContain(answer.status);
      }
    }
  }
});

test("with OPEN_INTROSPECTION off, health and reflection want a token of some role", async ({ url }) => {
  await using broker = await start(url, { OPEN_INTROSPECTION: "false" });
  const caller = openCaller(broker.url);
  for (const [service, role] of SERVICES) {
    if (role !== "anybody") continue;
    for (const method of service.methods) {
      for (const sent of Object.keys(TOKENS) as Sent[]) {
        const messages = [Buffer.alloc(0)];
        const { reason } = await caller.send({ method, protocol: "grpc", messages, token: TOKENS[sent] });
        const isKnown = sent !== "unknown" && sent !== "none";
        expect(reason === "BAD_TOKEN", `${method.name} with ${sent}`).toBe(!isKnown);
      }
    }
  }
  caller.close();
});

test("a token that only reads is told so where something would change, and opens its reads without an api token", async ({
  url,
}) => {
  const headers = { "x-worker-token": READ_TOKEN, "content-type": "application/json" };
  const call = async (broker: TestBroker, method: string, body = "{}") => {
    const answer = await fetch(`${broker.url}/aibroker.v1.${method}`, { method: "POST", headers, body });
    return { status: answer.status, body: await answer.text() };
  };
  {
    await using broker = await start(url);
    expect(await call(broker, "JobService/CancelJobs")).toMatchObject({
      status: 403,
      body: expect.stringContaining("INTERNAL_READ_TOKEN only reads, and this changes something"),
    });
    expect(await call(broker, "AdminService/GetServerInfo")).toMatchObject({
      status: 200,
      body: expect.stringContaining('"readOnly":true'),
    });
    // Tokens are never among the settings that it is shown.
    const { body } = await call(broker, "AdminService/GetServerInfo", '{"includeSettings":true}');
    expect(body).toContain('"INTERNAL_READ_TOKEN"');
    expect(body).not.toMatch(/read-token|story-(api|worker)-token/);
  }
  await using alone = await start(url, { INTERNAL_API_TOKEN: "" });
  expect(await call(alone, "AdminService/GetStats")).toMatchObject({ status: 200 });
  expect(await call(alone, "JobService/Dispatch")).toMatchObject({ status: 503 });
});

test("the shim's paths open to workers alone, with and without their slash", async ({ url }) => {
  await using broker = await start(url);
  for (const path of SHIM_PATHS.flatMap((one) => [one, one.replace(/\/$/, "")])) {
    const method = path.includes("next") ? "GET" : "POST";
    const body = method === "POST" ? { body: '{"job_id":"none"}' } : {};
    for (const sent of Object.keys(TOKENS) as Sent[]) {
      const headers = { "x-worker-token": TOKENS[sent], "content-type": "application/json" };
      const { status } = await fetch(broker.url + path, { method, headers, ...body });
      expect(status === 401, `${path} with ${sent}: ${status}`).toBe(sent !== "worker");
    }
  }
});

test("the page of metrics opens to operators alone, and no other page is there", async ({ url }) => {
  await using broker = await start(url);
  const statuses = async (path: string) => {
    const all = Object.values(TOKENS).map((token) =>
      fetch(broker.url + path, { headers: { "x-worker-token": token } }),
    );
    return (await Promise.all(all)).map(({ status }) => status);
  };
  expect(await statuses("/metrics")).toEqual([403, 200, 403, 401, 401]);
  for (const path of ["/", "/admin", "/debug/pprof", "/healthz", "/.env", "/status", "/metrics/", "/metrics/x"]) {
    expect(await statuses(path), path).toEqual([404, 404, 404, 404, 404]);
  }
});

test("while tokens are rotated the old and the new one are good, and one that left the list is not", async ({
  url,
}) => {
  const ask = async (broker: TestBroker, token: string) => {
    const headers = { "x-worker-token": token };
    const next = await fetch(`${broker.url}/api/v1/internal/ai/job/next/`, { headers });
    const claim = await fetch(`${broker.url}/aibroker.v1.WorkerService/Claim`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: '{"workerId":"w"}',
    });
    return [next.status, claim.status];
  };
  {
    await using both = await startTestBroker(url, { INTERNAL_WORKER_TOKEN: "old-token,new-token" });
    expect([
      await ask(both, "old-token"),
      await ask(both, "new-token"),
      await ask(both, "old-token,new-token"),
    ]).toEqual([
      [200, 200],
      [200, 200],
      [401, 401],
    ]);
  }
  await using after = await startTestBroker(url, { INTERNAL_WORKER_TOKEN: "new-token" });
  expect([await ask(after, "old-token"), await ask(after, "new-token")]).toEqual([
    [401, 401],
    [200, 200],
  ]);
});
