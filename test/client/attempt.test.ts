/** From a handler to what is reported. */
import { expect, test } from "vitest";
import { z } from "zod";
import { type Outcome, runAttempt } from "../../src/client/attempt.ts";
import { Fatal, RetryIn } from "../../src/client/failures.ts";
import type { Handler, JobContext, TypeEntry } from "../../src/client/handler.ts";
import type { JobFacts } from "../../src/client/job-view.ts";

const facts = { id: "j", type: "ocr" } as JobFacts;

async function attempt(
  handler: unknown,
  more: Partial<TypeEntry> & { payload?: unknown } = {},
  payloadJson = '{"a":1}',
  maxBytes = 100,
) {
  const entry = { handler: handler as Handler<never, unknown>, ...more } as TypeEntry;
  return await runAttempt(entry, facts, payloadJson, {} as JobContext, maxBytes);
}

function failed(outcome: Outcome) {
  if (outcome.status !== "FAILED") throw new Error("it did not fail");
  const { cause: _, ...rest } = outcome;
  return rest;
}

test("what a handler returns is the result", async () => {
  expect(await attempt(async (job: { payload: { a: number } }) => ({ twice: job.payload.a * 2 }))).toEqual({
    status: "DONE",
    resultJson: '{"twice":2}',
  });
});

test("a handler that returns nothing is done without a result", async () => {
  expect(await attempt(() => undefined)).toEqual({ status: "DONE", resultJson: "" });
});

test.each([
  ["an Error", new Error("it broke"), "it broke", true],
  ["an error of another kind", new RangeError("too far"), "RangeError: too far", true],
  ["a text", "broken", "broken", true],
  ["nothing", undefined, "undefined", true],
  ["an object", Object.create(null), "an object was thrown that is no Error", true],
  ["a Fatal", new Fatal("no such image"), "no such image", false],
])("%s that is thrown is a failed attempt", async (_, thrown, error, retryable) => {
  const outcome = await attempt(() => {
    throw thrown;
  });
  expect(failed(outcome)).toEqual({ status: "FAILED", error, retryable });
});

test.each([
  [5_000, 5_000],
  [0.4, 0],
  [-1, 0],
  [Number.NaN, 0],
  [Number.POSITIVE_INFINITY, 30 * 24 * 3_600_000],
])("RetryIn(%s) asks for %s ms", async (asked, retryDelayMs) => {
  const outcome = await attempt(() => Promise.reject(new RetryIn(asked, "busy")));
  expect(failed(outcome)).toEqual({ status: "FAILED", error: "busy", retryable: true, retryDelayMs });
});

test("an error's text is made fit for the database", async () => {
  const outcome = failed(await attempt(() => Promise.reject(new Error(`\0${"x".repeat(6_000)}`))));
  expect(outcome).toMatchObject({ error: `\u{fffd}${"x".repeat(4_999)}` });
});

test.each([
  ["too large", { text: "x".repeat(100) }, "the result is 111 bytes, the limit is 100 (MAX_RESULT_BYTES)"],
  ["no object", [1], "the result must be an object"],
  ["not to be written", { n: 1n }, "the result cannot be written as JSON"],
])("a result that is %s fails for good, in words", async (_, result, words) => {
  expect(failed(await attempt(() => result))).toMatchObject({
    retryable: false,
    error: expect.stringContaining(words),
  });
});

test("a payload that its schema does not take fails for good, and no handler sees it", async () => {
  const payload = z.object({ pages: z.array(z.object({ text: z.string() })) });
  const handler = () => {
    throw new Error("it was called");
  };
  const outcome = failed(await attempt(handler, { payload }, '{"pages":[{"text":1}]}'));
  expect(outcome).toMatchObject({
    retryable: false,
    error: expect.stringMatching(/^the payload of ocr .*pages\[0\]\.text: /),
  });
});

test("a handler gets what the schema makes of the payload", async () => {
  const payload = z.object({ a: z.number().default(7), b: z.coerce.string() });
  const outcome = await attempt((job: { payload: object }) => job.payload, { payload }, '{"b":1}');
  expect(outcome).toEqual({ status: "DONE", resultJson: '{"a":7,"b":"1"}' });
});

test("a result that its schema does not take is a failure that may pass", async () => {
  const outcome = await attempt(() => ({ text: 1 }), { result: z.object({ text: z.string() }) });
  expect(failed(outcome)).toMatchObject({ retryable: true, error: expect.stringContaining("the result of ocr") });
});
