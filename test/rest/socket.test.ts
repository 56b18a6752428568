/** What a client does to its connection, and what becomes of it. */
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { afterEach, expect, test } from "vitest";
import { createShim, type ShimOptions } from "../../src/rest/shim.ts";
import type { Lease } from "../../src/store/rows.ts";
import { createTokens } from "../../src/tokens.ts";
import { until } from "../support/until.ts";
import { type FakeBehaviour, fakeMoves, lease } from "./fake-moves.ts";
import { connect, exchange, type RawAnswer, requestBytes } from "./raw-http.ts";
import { type ShimServer, startShim, TOKEN } from "./shim-server.ts";

const NEXT = "/api/v1/internal/ai/job/next/";
const RESULT = "/api/v1/internal/ai/job/result/";
const AUTH: [string, string] = ["X-Worker-Token", TOKEN];
const JSON_BODY: [string, string][] = [AUTH, ["Content-Type", "application/json"]];

const servers: ShimServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function given(behaviour: FakeBehaviour = {}, options: Partial<ShimOptions> = {}) {
  const fake = fakeMoves(behaviour);
  const server = await startShim({ moves: fake.moves, ...options });
  servers.push(server);
  return { ...fake, ...server };
}

function text(answer: RawAnswer): string {
  return answer.body.toString("utf8");
}

const poll = (more: [string, string][] = []) =>
  requestBytes({ method: "GET", target: NEXT, headers: [AUTH, ...more], keepAlive: true });
const report = (body: string) =>
  requestBytes({ method: "POST", target: RESULT, headers: JSON_BODY, body, keepAlive: true });

test("a connection goes on after every kind of refusal", async () => {
  const { port } = await given();
  const { socket, answer } = await connect(port);
  const put = requestBytes({ method: "PUT", target: NEXT, body: "x".repeat(100_000), keepAlive: true });
  const plain = requestBytes({
    method: "POST",
    target: RESULT,
    headers: [AUTH, ["Content-Type", "text/plain"]],
    body: "x".repeat(100_000),
    keepAlive: true,
  });
  const strange = requestBytes({ method: "POST", target: RESULT, headers: [], body: "{", keepAlive: true });
  const statuses: number[] = [];
  for (const bytes of [put, plain, strange, poll([["Accept", "text/html"]]), report("{"), report("{}"), poll()]) {
    socket.write(bytes);
    statuses.push((await answer()).status);
  }
  expect(statuses).toEqual([405, 415, 401, 406, 400, 400, 200]);
  socket.destroy();
});

test("requests sent ahead are answered in order", async () => {
  const { port, reports } = await given();
  const { socket, answer } = await connect(port);
  socket.write(Buffer.concat([report('{"job_id":"a"}'), poll(), report('{"job_id":"b","status":"FAILED"}'), poll()]));
  const answers = [await answer(), await answer(), await answer(), await answer()];
  expect(answers.map(text)).toEqual([
    '{"ok":true,"detail":"done"}',
    '{"job":null}',
    '{"ok":true,"detail":"failed_recorded"}',
    '{"job":null}',
  ]);
  expect(reports.map((r) => r.jobId)).toEqual(["a", "b"]);
  socket.destroy();
});

test("HEAD has the headers of an idle poll, no body, and claims nothing", async () => {
  const { port, claims } = await given({ next: async () => lease() });
  const { socket, answer } = await connect(port);
  socket.write(requestBytes({ method: "HEAD", target: NEXT, headers: [AUTH], keepAlive: true }));
  const head = await answer(true);
  socket.write(requestBytes({ method: "HEAD", target: RESULT, headers: [AUTH], keepAlive: true }));
  const other = await answer(true);
  expect(head).toMatchObject({ status: 200, headers: { "content-length": "12", "content-type": "application/json" } });
  expect(other).toMatchObject({ status: 405, headers: { allow: "POST, OPTIONS" } });
  expect(claims).toEqual([]);
  socket.destroy();
});

test("a client that waits for 100 Continue gets it", async () => {
  const { port, reports } = await given();
  const { socket, answer } = await connect(port);
  const whole = requestBytes({
    method: "POST",
    target: RESULT,
    headers: [...JSON_BODY, ["Expect", "100-continue"]],
    body: '{"job_id":"a"}',
  });
  const end = whole.indexOf("\r\n\r\n") + 4;
  socket.write(whole.subarray(0, end));
  expect((await answer()).status).toBe(100);
  socket.write(whole.subarray(end));
  expect(text(await answer())).toBe('{"ok":true,"detail":"done"}');
  expect(reports).toHaveLength(1);
});

test("a body over the limit is refused with the limit and the setting, and the connection goes on", async () => {
  const { port, reports } = await given({}, { maxBodyBytes: 1_000 });
  const { socket, answer } = await connect(port);
  const detail = "the body is larger than 1000 bytes; send less, or raise the limit (SHIM_MAX_BODY)";
  socket.write(report("x".repeat(1_001)));
  const announced = await answer();
  expect([announced.status, text(announced)]).toEqual([413, JSON.stringify({ detail })]);
  const chunked = { method: "POST", target: RESULT, headers: JSON_BODY, body: "x".repeat(1_001), chunked: true };
  socket.write(requestBytes({ ...chunked, keepAlive: true }));
  expect((await answer()).status).toBe(413);
  socket.write(report(`{"job_id":"j1","x":"${"x".repeat(978)}"}`));
  expect((await answer()).status).toBe(200);
  expect(reports).toHaveLength(1);
  socket.destroy();
});

test("a body far over the limit ends the connection, announced or not", async () => {
  const { port } = await given({}, { maxBodyBytes: 1_000 });
  const announced = await connect(port);
  announced.socket.write(report("x".repeat(5_000)).subarray(0, 300));
  const answer = await announced.answer();
  expect([answer.status, answer.headers["connection"]]).toEqual([413, "close"]);
  await announced.closed;
  const endless = await connect(port);
  endless.socket.write(
    requestBytes({
      method: "POST",
      target: RESULT,
      headers: JSON_BODY,
      body: "x".repeat(5_000),
      chunked: true,
    }).subarray(0, -5),
  );
  expect((await endless.answer()).status).toBe(413);
  await endless.closed;
});

test("a body of 12 MB is taken where the limit allows it", async () => {
  const { port, reports } = await given({}, { maxBodyBytes: 16_000_000 });
  const body = `{"job_id":"j1","result":{"a":"${"x".repeat(12_000_000)}"}}`;
  const answer = await exchange(port, report(body));
  expect(text(answer)).toBe('{"ok":true,"detail":"done"}');
  expect(reports[0]?.result).toHaveLength(12_000_008);
});

test("a body that does not arrive in time is refused", async () => {
  const { port } = await given({}, { bodyTimeoutMs: 30 });
  const { socket, answer, closed } = await connect(port);
  socket.write(report('{"job_id":"j1"}').subarray(0, -1));
  const late = await answer();
  expect([late.status, text(late)]).toEqual([408, '{"detail":"the body did not arrive within 30 ms; send it again"}']);
  await closed;
});

test("a client that leaves in the middle of its body reports nothing, and nothing is logged as a fault", async () => {
  const { port, reports, logged } = await given();
  const { socket } = await connect(port);
  socket.write(report('{"job_id":"j1"}').subarray(0, -3));
  socket.resetAndDestroy();
  // A whole round on another connection: by its end the server has seen the first one go.
  expect((await exchange(port, poll())).status).toBe(200);
  expect(reports).toEqual([]);
  expect(logged).toEqual([]);
});

test("a job whose caller left before the answer goes back, unburnt", async () => {
  const claimed = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<Lease>();
  const { port, releases } = await given({
    next: () => {
      claimed.resolve();
      return answered.promise;
    },
  });
  const { socket } = await connect(port);
  socket.write(poll([["X-Worker-Id", "w1"]]));
  await claimed.promise;
  socket.resetAndDestroy();
  // A whole round on another connection: by its end the server has seen the first one go.
  await exchange(port, requestBytes({ method: "OPTIONS", target: NEXT }));
  answered.resolve(lease({ jobId: "lost", token: "t" }));
  await until("the lease is released", () => releases.length > 0);
  expect(releases).toEqual([{ workerId: "w1", leases: [{ jobId: "lost", token: "t" }], reason: "caller left" }]);
});

test("a job whose caller closed only its sending side is delivered", async () => {
  const answered = Promise.withResolvers<Lease>();
  const claimed = Promise.withResolvers<void>();
  const { port, releases } = await given({
    next: () => {
      claimed.resolve();
      return answered.promise;
    },
  });
  const { socket, answer } = await connect(port);
  socket.end(poll());
  await claimed.promise;
  answered.resolve(lease());
  expect(JSON.parse(text(await answer()))).toMatchObject({ job: { id: "j1" } });
  expect(releases).toEqual([]);
});

test("a lease that cannot be released is logged and runs out by itself", async () => {
  const claimed = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<Lease>();
  const { port, logged } = await given({
    next: () => {
      claimed.resolve();
      return answered.promise;
    },
    release: () => Promise.reject(new Error("the database is away")),
  });
  const { socket } = await connect(port);
  socket.write(poll());
  await claimed.promise;
  socket.resetAndDestroy();
  await exchange(port, requestBytes({ method: "OPTIONS", target: NEXT }));
  answered.resolve(lease({ jobId: "lost" }));
  const line = await until("it is logged", () => logged[0]);
  expect(line).toMatchObject({ level: 40, job_id: "lost", worker: "ai-worker" });
});

test("HTTP/2 works the same, and a reset stream gives its job back", async () => {
  const claimed = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<Lease>();
  const fake = fakeMoves({
    next: (workerId) => {
      if (workerId !== "slow") return Promise.resolve(lease());
      claimed.resolve();
      return answered.promise;
    },
  });
  const shim = createShim({
    moves: fake.moves,
    workerTokens: createTokens([TOKEN]),
    maxBodyBytes: 1_000,
    log: pino({ level: "silent" }),
  });
  const server = http2.createServer((req, res) => void shim(req as never, res as never));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const call = async (headers: http2.OutgoingHttpHeaders, body = "") => {
    const stream = session.request({ "x-worker-token": TOKEN, ...headers }, { endStream: body === "" });
    if (body !== "") stream.end(body);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  };
  expect(JSON.parse(await call({ ":path": NEXT }))).toMatchObject({ job: { id: "j1" } });
  const post = { ":method": "POST", ":path": RESULT, "content-type": "application/json" };
  expect(await call(post, '{"job_id":"a"}')).toBe('{"ok":true,"detail":"done"}');
  expect(await call(post)).toBe('{"detail":"job_id required"}');
  expect(fake.releases).toEqual([]);

  const slow = session.request({ ":path": NEXT, "x-worker-token": TOKEN, "x-worker-id": "slow" });
  slow.on("error", () => {});
  await claimed.promise;
  slow.close(http2.constants.NGHTTP2_CANCEL);
  await call({ ":path": RESULT, ":method": "OPTIONS" });
  answered.resolve(lease({ jobId: "lost" }));
  await until("the lease is released", () => fake.releases.length > 0);
  session.destroy();
  server.close();
});
