import { Code, createClient, createRouterTransport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { pino } from "pino";
import { expect, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { createHealth } from "../../src/rpc/health.ts";
import { observeCalls } from "../../src/rpc/observe-calls.ts";
import { fakeServer } from "../support/fake-services.ts";
import { readError } from "../support/rpc-clients.ts";

/** How long a condition may take on a busy machine. */
const POLL_MS = 10_000;

const over = (state: ReturnType<typeof createHealth>) =>
  createClient(
    Health,
    createRouterTransport((router) => router.service(Health, state.service), {
      router: { interceptors: [observeCalls(pino({ level: "silent" }))] },
    }),
  );

test("Check tells the state of the server and of each service, and NOT_FOUND for others", async () => {
  const state = createHealth(["a.v1.A"]);
  const client = over(state);
  expect((await client.check({})).status).toBe(Status.NOT_SERVING);
  state.set(true);
  expect((await client.check({})).status).toBe(Status.SERVING);
  expect((await client.check({ service: "a.v1.A" })).status).toBe(Status.SERVING);
  const unknown = await client.check({ service: "b" }).catch(readError);
  expect(unknown).toMatchObject({
    code: Code.NotFound,
    message: expect.stringContaining("a.v1.A"),
    reason: "SERVICE_NOT_FOUND",
    fields: ["service", undefined],
  });
});

test("Watch tells the state at once, then each change and no repetition", async () => {
  const state = createHealth([]);
  const stream = over(state).watch({})[Symbol.asyncIterator]();
  expect((await stream.next()).value?.status).toBe(Status.NOT_SERVING);
  const next = stream.next();
  state.set(false);
  state.set(true);
  expect((await next).value?.status).toBe(Status.SERVING);
  const after = stream.next();
  state.set(false);
  expect((await after).value?.status).toBe(Status.NOT_SERVING);
});

test("Watch of an unknown service says SERVICE_UNKNOWN and stays open", async () => {
  const state = createHealth(["a.v1.A"]);
  const abort = new AbortController();
  const stream = over(state).watch({ service: "b" }, { signal: abort.signal })[Symbol.asyncIterator]();
  expect((await stream.next()).value?.status).toBe(Status.SERVICE_UNKNOWN);
  let answered = false;
  const next = stream.next().then(
    () => {
      answered = true;
    },
    (err) => err,
  );
  state.set(true);
  // A call there and back: a change would have been told by now.
  await over(state).check({});
  expect(answered).toBe(false);
  abort.abort();
  expect(readError(await next).code).toBe(Code.Canceled);
});

test("over a socket, Watch follows and Check answers on while the server drains", async () => {
  await using server = await fakeServer();
  const client = createClient(Health, createGrpcTransport({ baseUrl: server.url }));
  const stream = client.watch({ service: "aibroker.v1.WorkerService" })[Symbol.asyncIterator]();
  const told = async () => (await stream.next()).value?.status;
  expect(await told()).toBe(Status.SERVING);
  server.health.set(false);
  expect(await told()).toBe(Status.NOT_SERVING);
  server.health.set(true);
  expect(await told()).toBe(Status.SERVING);
  server.drain();
  expect(await told()).toBe(Status.NOT_SERVING);
  expect(await stream.next()).toMatchObject({ done: true });
  expect((await client.check({})).status).toBe(Status.NOT_SERVING);
});

test("a Watch whose client is gone leaves no request under way", async () => {
  await using server = await fakeServer();
  const abort = new AbortController();
  const client = createClient(Health, createGrpcTransport({ baseUrl: server.url }));
  const stream = client.watch({}, { signal: abort.signal })[Symbol.asyncIterator]();
  await stream.next();
  expect(server.inFlight).toBe(1);
  abort.abort();
  await expect.poll(() => server.inFlight, { timeout: POLL_MS }).toBe(0);
});
