import { Code, ConnectError, createClient, createRouterTransport, type StreamRequest } from "@connectrpc/connect";
import { pino } from "pino";
import { expect, test } from "vitest";
import { badField } from "../../src/errors.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { observeCalls } from "../../src/rpc/observe-calls.ts";
import { readError } from "../support/rpc-clients.ts";

/** How long a condition may take on a busy machine. */
const POLL_MS = 10_000;

/** A server whose Watch is the given stream, with what it logs. */
function watched(watch: () => AsyncIterable<{ status: Status }>) {
  const lines: string[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(line) });
  const transport = createRouterTransport((router) => router.service(Health, { watch }), {
    router: { interceptors: [observeCalls(log)] },
  });
  const calls = () => lines.map((line) => JSON.parse(line)).filter((line) => line.msg === "call");
  return { client: createClient(Health, transport), lines, calls };
}

async function drained(stream: AsyncIterable<unknown>): Promise<number> {
  let messages = 0;
  for await (const _ of stream) messages += 1;
  return messages;
}

test("what a stream throws is mapped too, after the messages that came before it", async () => {
  const { client, calls } = watched(async function* () {
    yield { status: Status.SERVING };
    throw badField("service", "is no good");
  });
  const stream = client.watch({});
  const seen: Status[] = [];
  const err = await (async () => {
    for await (const { status } of stream) seen.push(status);
  })().catch(readError);
  expect(seen).toEqual([Status.SERVING]);
  expect(err).toMatchObject({ code: Code.InvalidArgument, reason: "BAD_FIELD", fields: ["service", "service"] });
  expect(calls()).toMatchObject([{ method: "grpc.health.v1.Health/Watch", code: "InvalidArgument" }]);
});

test("a bug inside a stream is INTERNAL for the client and has its stack in the log", async () => {
  // biome-ignore lint/correctness/useYield: it fails before its first message.
  const { client, lines } = watched(async function* () {
    throw new TypeError("canary");
  });
  const err = await drained(client.watch({})).catch((e) => e);
  expect(err).toBeInstanceOf(ConnectError);
  expect(err).toMatchObject({ code: Code.Internal, rawMessage: expect.not.stringContaining("canary") });
  expect(lines.filter((line) => line.includes("canary"))).toHaveLength(1);
});

test("a stream has one line, at its end", async () => {
  const { client, calls } = watched(async function* () {
    yield { status: Status.SERVING };
    yield { status: Status.NOT_SERVING };
  });
  expect(await drained(client.watch({}))).toBe(2);
  expect(calls()).toMatchObject([{ code: "OK", duration_ms: expect.any(Number) }]);
});

test("a stream whose client leaves has its line then, though its generator never ends", async () => {
  const left = Promise.withResolvers<void>();
  const { client, calls } = watched(async function* () {
    for (;;) yield { status: Status.SERVING };
  });
  const abort = new AbortController();
  const stream = client.watch({}, { signal: abort.signal });
  const reading = (async () => {
    for await (const _ of stream) left.resolve();
  })().catch(readError);
  await left.promise;
  abort.abort();
  await reading;
  await expect.poll(calls, { timeout: POLL_MS }).toMatchObject([{ code: "Canceled" }]);
});

test("a client that breaks off inside its own stream is no fault of the broker", async () => {
  const lines: string[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(line) });
  // biome-ignore lint/correctness/useYield: it breaks before its first message.
  async function* broken(): AsyncGenerator<never> {
    throw Object.assign(new Error("Premature close"), { code: "ERR_STREAM_PREMATURE_CLOSE" });
  }
  const call = observeCalls(log)(async (req) => {
    for await (const _ of (req as StreamRequest).message);
    throw new Error("it read to the end");
  });
  const request = { stream: true, service: Health, method: Health.method.watch, message: broken() };
  const err = await call(request as never).catch(readError);
  expect(err).toMatchObject({ code: Code.Canceled });
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ level: 20, code: "Canceled" }]);
});
