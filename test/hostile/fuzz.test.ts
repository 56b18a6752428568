/** Every message of every service, by its descriptor, with values that fit and values that nobody would send. */
import type { DescMessage, DescMethod } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { expect, type TestContext } from "vitest";
import { AdminService } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { REASONS } from "../../src/rpc/errors.ts";
import type { Sql } from "../../src/store/db.ts";
import { binaryRequest } from "./fuzz-binary.ts";
import { type Answer, type Call, openCaller, PROTOCOLS } from "./fuzz-calls.ts";
import { brokenRows, type Quarry, test } from "./fuzz-ground.ts";
import { AS_TEXT, jsonRequest } from "./fuzz-json.ts";
import { type Form, type Known, nameOf } from "./fuzz-values.ts";
import { API_TOKEN, WORKER_TOKEN } from "./hostile-broker.ts";
import { count, sized } from "./size.ts";
import { CALLS, judgeTimes, memoryBack, RSS_ROOM_MB, tell, watchPeak } from "./under-attack.ts";

const METHODS = [WorkerService, JobService, AdminService].flatMap(({ methods }) => methods);
const UNARY = METHODS.filter(({ methodKind }) => methodKind === "unary");
const STREAMS = METHODS.filter(({ methodKind }) => methodKind !== "unary");
/** What is not of the contract, and stands on the same port. */
const BESIDE = [Health, ServerReflection, ServerReflectionAlpha].flatMap(({ methods }) => methods);
const WATCHES = STREAMS.filter(({ methodKind }) => methodKind === "server_streaming");
/** Calls at a time. */
const ABREAST = 20;

function calls(methods: readonly DescMethod[], known: Known): fc.Arbitrary<Call> {
  return fc.tuple(fc.constantFrom(...methods), fc.constantFrom(...PROTOCOLS)).chain(([method, any]) => {
    // Both ways at once goes over HTTP/2 alone.
    const protocol = method.methodKind === "bidi_streaming" ? "grpc" : any;
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

async function fuzz(url: string, arbitrary: fc.Arbitrary<Call>, cases: number): Promise<Map<string, number>> {
  const caller = openCaller(url);
  const answers = new Map<string, number>();
  const batch = fc.array(arbitrary, { minLength: ABREAST, maxLength: ABREAST });
  const holds = fc.asyncProperty(batch, async (calls) => {
    const faults = await Promise.all(
      calls.map(async (one) => {
        const answer = await caller.send(one);
        const kind = answer.code === 0 ? "OK" : `${Code[answer.code]} ${answer.reason}`;
        answers.set(kind, (answers.get(kind) ?? 0) + 1);
        return faultOf(one, answer);
      }),
    );
    expect(faults.filter((fault) => fault !== undefined)).toEqual([]);
  });
  try {
    await fc.assert(holds, { numRuns: Math.ceil(cases / ABREAST), endOnFailure: true });
  } finally {
    caller.close();
  }
  return answers;
}

/** A hundred thousand calls as fast as they are answered, twenty at a time, are a crowd, whatever is in them. */
const WHY = "twenty calls at a time, each of which takes the time that a call takes";
const P99_MS = 1_000;

/** Fuzzes with so many cases, and expects what holds of the broker, its rows and its good client whatever they are. */
async function withstandsFuzz(
  { broker, client, known, postgres }: Quarry,
  arbitrary: fc.Arbitrary<Call>,
  cases: number,
  sql: Sql,
  context: Pick<TestContext, "annotate" | "task">,
): Promise<Map<string, number>> {
  known.drawn.clear();
  const mark = broker.mark();
  const rss = { before: await broker.settled(), peak: 0, kept: 0, after: 0 };
  await client.figures();
  const before = await client.after(CALLS);
  const since = performance.now();
  const peak = watchPeak(broker);
  const answers = await fuzz(broker.url, arbitrary, cases).finally(peak.stop);
  const tookMs = performance.now() - since;
  const during = await client.after(CALLS);
  rss.peak = peak.mb();
  rss.kept = await broker.collected();
  rss.after = await memoryBack(broker, rss.before);
  const size = count(cases, "cases");
  await tell(context, { size, rounds: 1, tookMs, before, during, p99BoundMs: P99_MS, why: WHY, rss, postgres });
  await context.annotate(told(answers));
  expect(broker.exit).toBeUndefined();
  expect(broker.faults(mark)).toEqual([]);
  expect(rss.after - rss.before).toBeLessThanOrEqual(RSS_ROOM_MB);
  expect([...before.failures, ...during.failures]).toEqual([]);
  expect(await brokenRows(sql)).toEqual([]);
  judgeTimes(during, P99_MS);
  return answers;
}

test("every field of every unary message, in each protocol", async ({ quarry, pools, annotate, task }) => {
  const cases = sized(3_000, 100_000);
  const answers = await withstandsFuzz(quarry, calls(UNARY, quarry.known), cases, pools.sql, { annotate, task });
  // It is no fuzz of the front door alone.
  expect(answers.get("OK") ?? 0).toBeGreaterThan(cases / 20);
  expect(answers.size).toBeGreaterThan(5);
  expect([...quarry.known.drawn].sort()).toEqual([...fieldsOf(UNARY, "json"), ...fieldsOf(UNARY, "binary")].sort());
});

test("every field of the streams' messages, a watch's in each protocol", async ({ quarry, pools, annotate, task }) => {
  const cases = sized(600, 20_000);
  await withstandsFuzz(quarry, calls(STREAMS, quarry.known), cases, pools.sql, { annotate, task });
  expect([...quarry.known.drawn].sort()).toEqual([...fieldsOf(STREAMS, "binary"), ...fieldsOf(WATCHES, "json")].sort());
});

test("every field of the messages of health and reflection", async ({ quarry, pools, annotate, task }) => {
  const cases = sized(600, 20_000);
  const answers = await withstandsFuzz(quarry, calls(BESIDE, quarry.known), cases, pools.sql, { annotate, task });
  expect(answers.get("OK") ?? 0).toBeGreaterThan(cases / 20);
  const inJson = BESIDE.filter(({ methodKind }) => methodKind !== "bidi_streaming");
  expect([...quarry.known.drawn].sort()).toEqual([...fieldsOf(BESIDE, "binary"), ...fieldsOf(inJson, "json")].sort());
});

/** All fields that requests of these methods can have, however deep. */
function fieldsOf(methods: readonly DescMethod[], form: Form): string[] {
  const names = new Set<string>();
  const seen = new Set<DescMessage>();
  const next = methods.map(({ input }) => input);
  for (let message = next.pop(); message !== undefined; message = next.pop()) {
    if (seen.has(message) || (form === "json" && AS_TEXT.includes(message.typeName))) continue;
    seen.add(message);
    for (const field of message.fields) {
      names.add(nameOf(form, field));
      if (field.message !== undefined) next.push(field.message);
    }
  }
  return [...names];
}

function told(answers: Map<string, number>): string {
  return [...answers]
    .sort(([, a], [, b]) => b - a)
    .map(([kind, times]) => `${times} ${kind}`)
    .join(", ");
}
