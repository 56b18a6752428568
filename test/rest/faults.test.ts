/** When the broker itself cannot, the worker is told so and the connection lives on. */
import { afterEach, expect, test } from "vitest";
import { BrokerError } from "../../src/errors.ts";
import type { Status } from "../../src/job/status.ts";
import type { ShimOptions } from "../../src/rest/shim.ts";
import { type FakeBehaviour, fakeMoves, lease } from "./fake-moves.ts";
import { exchange, requestBytes } from "./raw-http.ts";
import { type ShimServer, startShim, TOKEN } from "./shim-server.ts";

const servers: ShimServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function given(behaviour: FakeBehaviour = {}, options: Partial<ShimOptions> = {}) {
  const fake = fakeMoves(behaviour);
  const server = await startShim({ moves: fake.moves, ...options });
  servers.push(server);
  const auth: [string, string] = ["X-Worker-Token", TOKEN];
  return {
    ...fake,
    logged: server.logged,
    poll: (more: [string, string][] = []) =>
      exchange(
        server.port,
        requestBytes({ method: "GET", target: "/api/v1/internal/ai/job/next", headers: [auth, ...more] }),
      ),
    report: (body: string, more: [string, string][] = []) =>
      exchange(
        server.port,
        requestBytes({
          method: "POST",
          target: "/api/v1/internal/ai/job/result",
          headers: [auth, ["Content-Type", "application/json"], ...more],
          body,
        }),
      ),
  };
}

test("a database that is away is 503 with the time to wait", async () => {
  const away = new BrokerError("DATABASE_DOWN", "the database cannot be reached", { retryAfterMs: 1_500 });
  const { poll, report, logged } = await given({
    next: () => Promise.reject(away),
    report: () => Promise.reject(away),
  });
  for (const answer of [await poll(), await report('{"job_id":"j1"}')]) {
    expect(answer.status).toBe(503);
    expect(answer.headers["retry-after"]).toBe("2");
    expect(answer.body.toString()).toBe('{"detail":"the database cannot be reached"}');
  }
  expect(logged).toEqual([]);
});

test("a broker that shuts down is 503, too", async () => {
  const { poll } = await given({ next: () => Promise.reject(new BrokerError("SHUTTING_DOWN", "stopping")) });
  const answer = await poll();
  expect([answer.status, answer.headers["retry-after"]]).toEqual([503, "1"]);
});

test("a value that the database refuses is 400 with its words", async () => {
  const { report } = await given({ report: () => Promise.reject(new BrokerError("BAD_FIELD", "too odd")) });
  const answer = await report('{"job_id":"j1"}');
  expect([answer.status, answer.body.toString()]).toEqual([400, '{"detail":"too odd"}']);
});

test("a fault of ours is 500 without its inner words, and is logged with them", async () => {
  const { poll, logged } = await given({ next: () => Promise.reject(new Error("inner state")) });
  const answer = await poll();
  expect([answer.status, answer.body.toString()]).toEqual([
    500,
    '{"detail":"Internal error: a fault of the broker; it is in its log"}',
  ]);
  expect(logged).toHaveLength(1);
  expect(logged[0]).toMatchObject({ level: 50, err: { message: "inner state" } });
  expect(JSON.stringify(logged)).not.toContain(TOKEN);
});

test("a payload that cannot be written gives the job back", async () => {
  const { poll, releases } = await given({ next: async () => lease({ payload: "{" }) });
  expect((await poll()).status).toBe(500);
  expect(releases).toMatchObject([{ leases: [{ jobId: "j1", token: "token-1" }] }]);
});

test("a payload is written whatever its depth and its numbers", async () => {
  const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
  const digits = "7".repeat(9_000);
  const payload = `{"deep": ${deep}, "long": ${digits}, "wide": ${digits}.5, "tiny": 1.10}`;
  const { poll } = await given({ next: async () => lease({ payload }) });
  const answer = await poll();
  expect(answer.body.toString()).toContain(`"payload":{"deep":${deep},"long":${digits},"wide":${digits}.5,"tiny":1.1}`);
});

test("who polls or reports is noted, under a name that fits", async () => {
  const noted: string[] = [];
  const { poll, report } = await given({}, { seen: (workerId) => noted.push(workerId) });
  await poll();
  await poll([["X-Worker-Id", "w1"]]);
  await poll([["X-Worker-Id", "w".repeat(129)]]);
  await report('{"job_id":"j1"}', [["X-Worker-Id", "w2"]]);
  await report('{"job_id":"j1"}', [["X-Worker-Id", "w".repeat(129)]]);
  expect(noted).toEqual(["ai-worker", "w1", "w2"]);
});

test("a report under a name too long to hold a lease is passed on, cut", async () => {
  const { report, reports } = await given();
  const answer = await report('{"job_id":"j1"}', [["X-Worker-Id", "w".repeat(5_000)]]);
  expect(answer.status).toBe(200);
  expect(reports[0]?.workerId).toBe("w".repeat(129));
});

test("what cannot be stored reports nothing: 404 without the job, ignored once it has ended, else 400", async () => {
  const ends: Record<string, Status> = { ended: "FAILED", cancelled: "CANCELLED", waits: "PENDING" };
  const { reports, report } = await given({ status: async (jobId) => ends[jobId] ?? null });
  const answers = [];
  for (const jobId of ["no", "ended", "cancelled", "waits"]) {
    const { status, body } = await report(`{"job_id":"${jobId}","result":{"a":"\\u0000"}}`);
    answers.push([status, JSON.parse(body.toString()).detail]);
  }
  expect(answers).toEqual([
    [404, "job not found"],
    [200, "duplicate_ignored"],
    [200, "duplicate_ignored"],
    [400, expect.stringContaining("U+0000")],
  ]);
  expect(reports).toEqual([]);
});
