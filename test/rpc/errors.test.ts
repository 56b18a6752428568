import { readFileSync } from "node:fs";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { DrizzleQueryError } from "drizzle-orm/errors";
import { expect, test } from "vitest";
import { BrokerError, type Reason } from "../../src/errors.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { describeBug, toConnectError } from "../../src/rpc/errors.ts";
import { API_TOKEN, fakeServer } from "../support/fake-services.ts";
import { readError, withToken } from "../support/rpc-clients.ts";

/** The codes as gRPC spells them: InvalidArgument is INVALID_ARGUMENT. */
const GRPC_NAMES = new Map(
  Object.entries(Code).map(([name, code]) => [
    code,
    code === Code.Canceled ? "CANCELLED" : name.replace(/(?<=.)[A-Z]/g, "_$&").toUpperCase(),
  ]),
);

test("each reason has its code, one ErrorInfo, its line in docs/errors.md, and a RetryInfo where waiting helps", () => {
  const expected: Record<Reason, [Code, number | undefined]> = {
    BAD_FIELD: [Code.InvalidArgument, undefined],
    PAYLOAD_NOT_OBJECT: [Code.InvalidArgument, undefined],
    PAYLOAD_TOO_LARGE: [Code.InvalidArgument, undefined],
    BAD_PAGE_TOKEN: [Code.InvalidArgument, undefined],
    BAD_TOKEN: [Code.Unauthenticated, undefined],
    WRONG_ROLE: [Code.PermissionDenied, undefined],
    TOKEN_NOT_CONFIGURED: [Code.Unavailable, undefined],
    SHUTTING_DOWN: [Code.Unavailable, 1_000],
    DATABASE_DOWN: [Code.Unavailable, 1_000],
    JOB_NOT_FOUND: [Code.NotFound, undefined],
    CURSOR_EXPIRED: [Code.FailedPrecondition, undefined],
    WEBHOOK_NOT_FOUND: [Code.NotFound, undefined],
    IDEMPOTENCY_KEY_REUSED: [Code.AlreadyExists, undefined],
    UNKNOWN_JOB_TYPE: [Code.FailedPrecondition, undefined],
    QUEUE_FULL: [Code.ResourceExhausted, 1_000],
    MALFORMED_REQUEST: [Code.InvalidArgument, undefined],
    REQUEST_TOO_LARGE: [Code.ResourceExhausted, undefined],
    NOT_SERVED: [Code.Unimplemented, undefined],
    SERVICE_NOT_FOUND: [Code.NotFound, undefined],
    SESSION_SUPERSEDED: [Code.Aborted, 1_000],
    TOO_MANY_STREAMS: [Code.ResourceExhausted, 1_000],
    TOO_MANY_FRAMES: [Code.ResourceExhausted, 1_000],
    SLOW_READER: [Code.ResourceExhausted, 1_000],
    WORKER_SILENT: [Code.DeadlineExceeded, 1_000],
    WORKER_DRAINING: [Code.FailedPrecondition, undefined],
    CALL_ENDED: [Code.Canceled, undefined],
    INTERNAL: [Code.Internal, undefined],
  };
  const documented = [...readFileSync("docs/errors.md", "utf8").matchAll(/^\| `(\w+)` \| ([A-Z_]+)/gm)];
  expect(new Map(documented.map(([, reason, code]) => [reason, code]))).toEqual(
    new Map(Object.entries(expected).map(([reason, [code]]) => [reason, GRPC_NAMES.get(code)])),
  );
  for (const [reason, [code, retryMs]] of Object.entries(expected)) {
    const read = readError(toConnectError(new BrokerError(reason as Reason, "words")));
    expect(read).toEqual({
      code,
      message: "words",
      reason,
      domain: "aibroker",
      fields: [undefined, undefined],
      retryMs,
    });
  }
});

test("the field at fault stands in ErrorInfo and in BadRequest, the time to wait in RetryInfo", () => {
  const bad = new BrokerError("PAYLOAD_NOT_OBJECT", "words", { field: "jobs[3].payload_json" });
  expect(readError(toConnectError(bad)).fields).toEqual(["jobs[3].payload_json", "jobs[3].payload_json"]);
  const reused = new BrokerError("IDEMPOTENCY_KEY_REUSED", "words", { field: "jobs[1].idempotency_key" });
  expect(readError(toConnectError(reused)).fields).toEqual(["jobs[1].idempotency_key", undefined]);
  const down = new BrokerError("DATABASE_DOWN", "words", { retryAfterMs: 2_345 });
  expect(readError(toConnectError(down)).retryMs).toBe(2_345);
});

test("an error of the database's connection is DATABASE_DOWN without a detour", () => {
  const refused = Object.assign(new Error("connect ECONNREFUSED 10.9.8.7:5432"), { code: "ECONNREFUSED" });
  const read = readError(toConnectError(refused));
  expect(read).toMatchObject({ code: Code.Unavailable, reason: "DATABASE_DOWN", retryMs: 1_000 });
  expect(read.message).not.toContain("10.9.8.7");
});

test("a long message is cut, so that trailers stay within what clients take", () => {
  const err = toConnectError(new BrokerError("BAD_FIELD", "🙂".repeat(10_000), { field: "한".repeat(10_000) }));
  const trailers = new Headers();
  setTrailerStatus(trailers, err);
  expect([...trailers].reduce((sum, [name, value]) => sum + name.length + value.length, 0)).toBeLessThan(8_192);
});

test("anything else is INTERNAL and says nothing of itself", () => {
  for (const thrown of [new TypeError("secret"), "secret", { secret: true }, undefined, null]) {
    const read = readError(toConnectError(thrown));
    expect(read).toMatchObject({ code: Code.Internal, reason: "INTERNAL", domain: "aibroker" });
    expect(JSON.stringify(read)).not.toContain("secret");
  }
});

test("errors that are Connect's own, and cancelled calls, keep their meaning", () => {
  const own = new ConnectError("as it is", Code.DeadlineExceeded);
  expect(toConnectError(own)).toBe(own);
  const cancelled = readError(toConnectError(AbortSignal.abort().reason));
  expect(cancelled).toMatchObject({ code: Code.Canceled, reason: "CALL_ENDED" });
});

test("the log's view of a bug has names, codes and frames, but no SQL parameters", () => {
  const database = Object.assign(new Error('invalid input syntax for type bigint: "canary-payload"'), {
    name: "PostgresError",
    code: "42804",
    detail: "canary-payload",
  });
  const described = describeBug(new DrizzleQueryError("insert into t values ($1)", ["canary-payload"], database));
  expect(described.map(({ code }) => code)).toEqual([undefined, "42804"]);
  expect(described[1]?.message).toBe("invalid input syntax for type bigint");
  expect(described[0]?.stack).toContain("errors.test.ts");
  expect(JSON.stringify(described)).not.toContain("canary");
  expect(describeBug("text")).toHaveLength(1);
});

test("on the wire a bug is INTERNAL, in the log it has its stack, and each call has its line", async () => {
  await using server = await fakeServer();
  const transport = createGrpcTransport({ baseUrl: server.url, interceptors: [withToken(API_TOKEN)] });
  const client = createClient(JobService, transport);
  const answers: unknown[] = [];
  for (const jobId of ["bug", "missing", "connect", "surrogate", "fine"]) {
    const { code, reason } = await client.getJob({ jobId }).then(() => ({ code: 0, reason: "" }), readError);
    answers.push([jobId, code, reason]);
  }
  expect(answers).toEqual([
    ["bug", Code.Internal, "INTERNAL"],
    ["missing", Code.NotFound, "JOB_NOT_FOUND"],
    ["connect", Code.Aborted, "CALL_ENDED"],
    ["surrogate", Code.InvalidArgument, "BAD_FIELD"],
    ["fine", 0, ""],
  ]);
  const lines = server.logged.map((line) => JSON.parse(line));
  expect(lines.filter((line) => line.msg === "call").map((line) => line.code)).toEqual([
    "Internal",
    "NotFound",
    "Aborted",
    "InvalidArgument",
    "OK",
  ]);
  const bugs = lines.filter((line) => line.level === 50);
  expect(bugs).toHaveLength(1);
  expect(bugs[0].err[0]).toMatchObject({ type: "TypeError", stack: expect.stringContaining("fake-services.ts") });
  expect(server.logged.join("")).not.toContain(API_TOKEN);
});
