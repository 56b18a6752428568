/** The producer's side, against a broker that does as it is told. */
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { BrokerError, createClient, SchemaError } from "../../src/client/index.ts";
import { CancelStatus, type DispatchRequest, RetryStatus } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { type FakeBroker, fakeBroker } from "./fake-broker.ts";

function refusal(code: Code, reason: string): ConnectError {
  return new ConnectError("the broker's words", code, undefined, [
    { desc: ErrorInfoSchema, value: { reason, domain: "aibroker" } },
  ]);
}

/** Stores what is dispatched; the first `faults` calls fail after they have stored it. */
function store(broker: FakeBroker, ...faults: ConnectError[]) {
  const requests: DispatchRequest[] = [];
  const known = new Set<string>();
  broker.jobs.dispatch = (request) => {
    requests.push(request);
    const results = request.jobs.map(({ id = "" }) => {
      const created = !known.has(id);
      known.add(id);
      return { jobId: id, created };
    });
    const fault = faults.shift();
    if (fault !== undefined) throw fault;
    return { results };
  };
  return requests;
}

describe.each(["grpc-js", "connect"] as const)("over %s", (transport) => {
  test("a job is dispatched with an id made here, and all that is said of it", async () => {
    await using broker = await fakeBroker();
    const requests = store(broker);
    await using client = createClient({ url: broker.url, token: "t", transport });
    const runAt = new Date(1_234);
    const more = { tenantId: "acme", priority: -5, maxAttempts: 2, runAt, idempotencyKey: "k", traceparent: "00-1" };
    const { jobId, created } = await client.dispatch("ocr", { image_path: "1.png" }, more);
    expect([created, jobId]).toEqual([true, expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)]);
    expect(requests[0]?.jobs[0]).toMatchObject({
      id: jobId,
      type: "ocr",
      payloadJson: '{"image_path":"1.png"}',
      tenantId: "acme",
      priority: -5,
      maxAttempts: 2,
      runAt: { seconds: 1n, nanos: 234_000_000 },
      idempotencyKey: "k",
      traceparent: "00-1",
    });
  });

  test("an answer that was lost is asked for again with the same id, and the job counts as created", async () => {
    await using broker = await fakeBroker();
    const requests = store(
      broker,
      new ConnectError("cut off", Code.Unavailable),
      refusal(Code.Unavailable, "DATABASE_DOWN"),
    );
    await using client = createClient({ url: broker.url, token: "t", transport });
    const { jobId, created } = await client.dispatch("ocr", { image_path: "1.png" });
    expect(requests.map(({ jobs }) => jobs[0]?.id)).toEqual([jobId, jobId, jobId]);
    expect(created).toBe(true);
  });
});

test("an id of one's own that is known says so", async () => {
  await using broker = await fakeBroker();
  store(broker);
  await using client = createClient({ url: broker.url, token: "t" });
  const dispatch = () => client.dispatch("mine", {}, { id: "order-1" });
  expect([await dispatch(), await dispatch()]).toEqual([
    { jobId: "order-1", created: true },
    { jobId: "order-1", created: false },
  ]);
});

test("many jobs go in one call, and answer in their order", async () => {
  await using broker = await fakeBroker();
  const requests = store(broker);
  await using client = createClient({ url: broker.url, token: "t" });
  const dispatched = await client.dispatchMany([
    { type: "ocr", payload: { image_path: "1.png" }, id: "a" },
    { type: "embedding", payload: { texts: ["x"] }, id: "b", priority: 3 },
  ]);
  expect(dispatched.map(({ jobId }) => jobId)).toEqual(["a", "b"]);
  expect(requests.map(({ jobs }) => jobs.length)).toEqual([2]);
});

describe("safeDispatch never rejects, and knows the job's id", () => {
  test("when the broker takes the job", async () => {
    await using broker = await fakeBroker();
    store(broker);
    await using client = createClient({ url: broker.url, token: "t" });
    const outcome = await client.safeDispatch("ocr", { image_path: "1.png" }, { id: "a" });
    expect(outcome).toEqual({ ok: true, jobId: "a", type: "ocr", created: true });
  });

  test("when it refuses it, at once", async () => {
    await using broker = await fakeBroker();
    const requests = store(broker, refusal(Code.InvalidArgument, "BAD_FIELD"));
    await using client = createClient({ url: broker.url, token: "t" });
    const outcome = await client.safeDispatch("ocr", { image_path: "1.png" });
    expect(outcome).toMatchObject({ ok: false, type: "ocr", error: { reason: "BAD_FIELD" } });
    expect(requests.map(({ jobs }) => jobs[0]?.id)).toEqual([outcome.jobId]);
  });

  test("when it is away: another try with that id is the same job", async () => {
    const before = await fakeBroker();
    await before.stop();
    await using client = createClient({ url: before.url, token: "t", timeoutMs: 1_200 });
    // The longest waits: tries after 0, 100, 300 and 700 ms. A last one near the end would be cut off by it.
    const random = vi.spyOn(Math, "random").mockReturnValue(1);
    const outcome = await client.safeDispatch("ocr", { image_path: "1.png" }).finally(() => random.mockRestore());
    expect(outcome).toMatchObject({ ok: false, error: { name: "BrokerError", code: "UNAVAILABLE" } });
    await using after = await fakeBroker(Number(new URL(before.url).port));
    store(after);
    const again = await client.safeDispatch("ocr", { image_path: "1.png" }, { id: outcome.jobId, timeoutMs: 5_000 });
    expect(again).toMatchObject({ ok: true, jobId: outcome.jobId });
  });

  test.each([
    ["no object", "mine", 7, TypeError],
    ["no JSON", "mine", { n: 1n }, TypeError],
    ["against its schema", "greet", { name: 1 }, SchemaError],
  ])("when the payload is %s, which then never leaves", async (_, type, payload, kind) => {
    await using broker = await fakeBroker();
    const requests = store(broker);
    const schemas = { greet: { payload: z.object({ name: z.string() }) } };
    await using client = createClient({ url: broker.url, token: "t", schemas });
    const outcome = await client.safeDispatch(type, payload as object);
    expect(outcome).toMatchObject({ ok: false, jobId: expect.stringMatching(/-7/), error: expect.any(kind) });
    await expect(client.dispatch(type, payload as object)).rejects.toBeInstanceOf(kind);
    expect(requests).toEqual([]);
  });
});

test("what a schema makes of a payload is what is sent", async () => {
  await using broker = await fakeBroker();
  const requests = store(broker);
  const schemas = { greet: { payload: z.object({ name: z.string().trim(), times: z.number().default(1) }) } };
  await using client = createClient({ url: broker.url, token: "t", schemas });
  await client.dispatch("greet", { name: " Ada " });
  expect(requests[0]?.jobs[0]?.payloadJson).toBe('{"name":"Ada","times":1}');
});

test("a call that is given up ends with its signal", async () => {
  await using broker = await fakeBroker();
  const stop = new AbortController();
  broker.jobs.dispatch = () => {
    stop.abort();
    throw new ConnectError("busy", Code.Unavailable);
  };
  await using client = createClient({ url: broker.url, token: "t" });
  await expect(client.dispatch("mine", {}, { signal: stop.signal })).rejects.toBeInstanceOf(BrokerError);
});

test("cancel and retry answer in words; a job that is not there is undefined", async () => {
  await using broker = await fakeBroker();
  broker.jobs.cancelJobs = ({ jobIds, reason }) => ({
    results: [
      { jobId: jobIds[0], status: reason === "why" ? CancelStatus.REQUESTED : CancelStatus.NOT_FOUND, jobStatus: 2 },
    ],
  });
  broker.jobs.retryJobs = () => ({ results: [{ jobId: "a", status: RetryStatus.NOT_RETRYABLE, jobStatus: 3 }] });
  broker.jobs.getJob = () => {
    throw refusal(Code.NotFound, "JOB_NOT_FOUND");
  };
  await using client = createClient({ url: broker.url, token: "t" });
  expect(await client.cancel("a", { reason: "why" })).toEqual({
    jobId: "a",
    status: "REQUESTED",
    jobStatus: "RUNNING",
  });
  expect(await client.retry("a")).toEqual({ jobId: "a", status: "NOT_RETRYABLE", jobStatus: "DONE" });
  expect(await client.get("a")).toBeUndefined();
});
