/** Every message of every service, by its descriptor, with values that fit and values that nobody would send. */
import type { DescMethod } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { expect } from "vitest";
import { AdminService } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { REASONS } from "../../src/rpc/errors.ts";
import { binaryRequest } from "./fuzz-binary.ts";
import { type Answer, type Call, openCaller, PROTOCOLS } from "./fuzz-calls.ts";
import { brokenRows, test } from "./fuzz-ground.ts";
import { jsonRequest } from "./fuzz-json.ts";
import type { Known } from "./fuzz-values.ts";
import { API_TOKEN, WORKER_TOKEN } from "./hostile-broker.ts";
import { sized } from "./under-attack.ts";

const METHODS = [WorkerService, JobService, AdminService].flatMap(({ methods }) => methods);
const UNARY = METHODS.filter(({ methodKind }) => methodKind === "unary");
const STREAMS = METHODS.filter(({ methodKind }) => methodKind !== "unary");
/** Calls at a time. */
const ABREAST = 20;

function calls(methods: readonly DescMethod[], known: Known): fc.Arbitrary<Call> {
  return fc.tuple(fc.constantFrom(...methods), fc.constantFrom(...PROTOCOLS)).chain(([method, any]) => {
    const protocol = method.methodKind === "unary" ? any : "grpc";
    const token = method.parent.typeName === WorkerService.typeName ? WORKER_TOKEN : API_TOKEN;
    const message =
      protocol === "connect-json"
        ? jsonRequest(method.input, known).map((text) => Buffer.from(text))
        : binaryRequest(method.input, known);
    const most = method.methodKind === "bidi_streaming" ? 4 : 1;
    return fc
      .array(message, { minLength: 1, maxLength: most })
      .map((messages) => ({ method, protocol, messages, token }));
  });
}

/** What is wrong with an answer; undefined where nothing is. */
function faultOf(
  { method, protocol, messages }: Call,
  { code, reason, domain, unreadable }: Answer,
): string | undefined {
  const what = `${method.parent.typeName}/${method.name} by ${protocol} of ${messages.map((one) => one.toString("hex"))}`;
  if (unreadable !== undefined) return `${what}: ${unreadable}`;
  if (code === 0) return undefined;
  const said = `${what}: ${Code[code]} ${reason}`;
  if (domain !== "aibroker" || !(REASONS as readonly (string | undefined)[]).includes(reason))
    return `${said}: no reason of ours`;
  // What gRPC asks for where protobuf's bytes cannot be read; JSON and all that a handler says have better words.
  const binary = protocol !== "connect-json" && reason === "MALFORMED_REQUEST";
  if ((code === Code.Internal && !binary) || code === Code.Unknown || code === Code.DataLoss) return said;
  return undefined;
}

async function fuzz(url: string, arbitrary: fc.Arbitrary<Call>, count: number): Promise<Map<string, number>> {
  const caller = openCaller(url);
  const answers = new Map<string, number>();
  const batch = fc.array(arbitrary, { minLength: ABREAST, maxLength: ABREAST });
  const holds = fc.asyncProperty(batch, async (cases) => {
    const faults = await Promise.all(
      cases.map(async (one) => {
        const answer = await caller.send(one);
        const kind = answer.code === 0 ? "OK" : `${Code[answer.code]} ${answer.reason}`;
        answers.set(kind, (answers.get(kind) ?? 0) + 1);
        return faultOf(one, answer);
      }),
    );
    expect(faults.filter((fault) => fault !== undefined)).toEqual([]);
  });
  try {
    await fc.assert(holds, { numRuns: Math.ceil(count / ABREAST), endOnFailure: true });
  } finally {
    caller.close();
  }
  return answers;
}

test("every field of every unary message, in each protocol", async ({ quarry: { broker, known }, pools, annotate }) => {
  const rss = await broker.settled();
  const count = sized(3_000, 100_000);
  const since = performance.now();
  const answers = await fuzz(broker.url, calls(UNARY, known), count);
  const took = ((performance.now() - since) / 1_000).toFixed(1);
  const after = await broker.settled();
  await annotate(`${count} cases in ${took} s, RSS ${rss.toFixed(0)} → ${after.toFixed(0)} MB: ${told(answers)}`);
  // It is no fuzz of the front door alone.
  expect(answers.get("OK") ?? 0).toBeGreaterThan(count / 20);
  expect(answers.size).toBeGreaterThan(5);
  expect(broker.exit).toBeUndefined();
  expect(broker.faults()).toEqual([]);
  expect(after).toBeLessThan(rss + 50);
  expect(await brokenRows(pools.sql)).toEqual([]);
});

test("every field of the streams' messages", async ({ quarry: { broker, known }, pools, annotate }) => {
  const count = sized(600, 20_000);
  const answers = await fuzz(broker.url, calls(STREAMS, known), count);
  await annotate(`${count} cases: ${told(answers)}`);
  expect(broker.exit).toBeUndefined();
  expect(broker.faults()).toEqual([]);
  expect(await brokenRows(pools.sql)).toEqual([]);
});

function told(answers: Map<string, number>): string {
  return [...answers]
    .sort(([, a], [, b]) => b - a)
    .map(([kind, times]) => `${times} ${kind}`)
    .join(", ");
}
