import { expect, test } from "vitest";
import { API_TOKEN, type FakeServer, fakeServer } from "../support/fake-services.ts";

const ORIGIN = "https://app.example.com";

function preflight(server: FakeServer, origin: string, path = "aibroker.v1.JobService/GetJob") {
  const headers = {
    origin,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type,x-worker-token,connect-protocol-version",
  };
  return fetch(`${server.url}/${path}`, { method: "OPTIONS", headers });
}

function call(server: FakeServer, origin: string) {
  return fetch(`${server.url}/aibroker.v1.JobService/GetJob`, {
    method: "POST",
    headers: { origin, "content-type": "application/json", "x-worker-token": API_TOKEN },
    body: '{"jobId": "a"}',
  });
}

test("a page of a named origin may ask and call, with the token's header, and read the answer", async () => {
  await using server = await fakeServer({ corsOrigins: [ORIGIN] });
  const asked = await preflight(server, ORIGIN);
  expect(asked.status).toBe(204);
  expect(asked.headers.get("access-control-allow-origin")).toBe(ORIGIN);
  expect(asked.headers.get("access-control-allow-headers")?.toLowerCase()).toMatch(/content-type.*x-worker-token/);
  const answer = await call(server, ORIGIN);
  expect(answer.headers.get("access-control-allow-origin")).toBe(ORIGIN);
  expect(answer.headers.get("access-control-expose-headers")).toMatch(/grpc-status/i);
  expect(answer.headers.get("vary")).toBe("origin");
});

test("a page of another origin gets no leave, and neither does any page by default", async () => {
  await using named = await fakeServer({ corsOrigins: [ORIGIN] });
  await using closed = await fakeServer();
  for (const server of [named, closed]) {
    const asked = await preflight(server, "https://evil.example.com");
    expect([asked.status, asked.headers.get("access-control-allow-origin")]).toEqual([405, null]);
    expect((await call(server, "https://evil.example.com")).headers.get("access-control-allow-origin")).toBeNull();
  }
});

test("* opens the RPCs to any origin, but never the REST endpoints", async () => {
  await using server = await fakeServer({ corsOrigins: ["*"] });
  expect((await preflight(server, "https://any.example.com")).status).toBe(204);
  const rest = await preflight(server, ORIGIN, "api/v1/internal/ai/job/next/");
  expect(rest.headers.get("access-control-allow-origin")).toBeNull();
});
