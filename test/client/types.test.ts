/** What the compiler says: these hold when the file compiles, which the gate checks. */
import pino from "pino";
import { expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { createClient, createWorker, type KnownJobTypes } from "../../src/client/index.ts";

test("a pino logger is a logger", () => {
  const worker = createWorker({
    ...at,
    logger: pino({ level: "silent" }),
    types: { mine: { handler: () => undefined } },
  });
  expect(worker).toBeDefined();
});

const at = { url: "http://127.0.0.1:1", token: "t" };

test("the six types are known on both sides, with their fields in snake_case", () => {
  createWorker({
    ...at,
    types: {
      ocr: {
        handler: async ({ payload }) => {
          expectTypeOf(payload.image_path).toEqualTypeOf<string | null | undefined>();
          expectTypeOf(payload.academy_id).toEqualTypeOf<number | null | undefined>();
          return { text: "", confidence: 99, more: true };
        },
      },
      embedding: {
        concurrency: 2,
        // @ts-expect-error vectors are missing
        handler: ({ payload }) => ({ vector: payload.texts }),
      },
    },
  });
  const client = createClient(at);
  const calls = () => [
    client.dispatch("ocr", { image_path: "a", engine: null }),
    client.dispatch("homework_video_analysis", { video_path: "a", frame_stride: 3 }),
    // @ts-expect-error a slip of the key
    client.dispatch("ocr", { image_pat: "a" }),
    // @ts-expect-error texts are a list
    client.dispatch("embedding", { texts: "a" }),
    client.dispatchMany([{ type: "ocr", payload: { image_path: "a" }, priority: 1 }]),
  ];
  expect(calls).toBeTypeOf("function");
});

test("a type that nobody knows may have any object", () => {
  createWorker({
    ...at,
    types: {
      mine: {
        handler: ({ payload }) => {
          expectTypeOf(payload).toEqualTypeOf<Record<string, unknown>>();
          return { any: 1 };
        },
      },
      silent: { handler: () => undefined },
      // @ts-expect-error a slip of the option
      slip: { concurency: 2, handler: () => ({}) },
    },
  });
  const client = createClient(at);
  expect(() => client.dispatch("mine", { any: 1 })).toBeTypeOf("function");
});

interface Mine extends KnownJobTypes {
  greet: { payload: { name: string }; result: { greeting: string } };
}

test("a map of one's own makes other types known, and all names checked", () => {
  createWorker<Mine>({
    ...at,
    types: {
      greet: {
        payload: z.object({ name: z.string() }),
        handler: async ({ payload }) => {
          expectTypeOf(payload).toEqualTypeOf<{ name: string }>();
          return { greeting: `Hello, ${payload.name}` };
        },
      },
      ocr: { handler: ({ payload }) => ({ text: payload.image_path ?? "" }) },
    },
  });
  const client = createClient<Mine>(at);
  const calls = () => [
    client.dispatch("greet", { name: "Ada" }),
    client.dispatch("ocr", { image_path: "a" }),
    // @ts-expect-error the name is a text
    client.dispatch("greet", { name: 1 }),
    // @ts-expect-error nobody knows this type
    client.dispatch("gret", { name: "Ada" }),
  ];
  expect(calls).toBeTypeOf("function");
});

test("a schema says what a handler gets and what it returns", () => {
  createWorker({
    ...at,
    types: {
      mine: {
        payload: z.object({ when: z.coerce.date() }),
        result: z.object({ days: z.number() }),
        handler: ({ payload }) => {
          expectTypeOf(payload).toEqualTypeOf<{ when: Date }>();
          return { days: 1 };
        },
      },
      other: {
        result: z.object({ days: z.number() }),
        // @ts-expect-error days is a number
        handler: () => ({ days: "1" }),
      },
      ocr: { handler: ({ payload }) => ({ text: payload.image_path ?? "" }) },
    },
  });
});

test.each([
  [{ types: {} }, "types: "],
  [{ types: { ocr: { handler: 1 } } }, "types.ocr.handler"],
  [{ types: { ocr: { handler: () => ({}), concurrency: 0 } } }, "types.ocr.concurrency"],
  [{ types: { ocr: { handler: () => ({}), concurrency: 1.5 } } }, "types.ocr.concurrency"],
  [{ concurrency: 1_001, types: { ocr: { handler: () => ({}) } } }, "concurrency"],
  [{ url: "broker:50051", types: { ocr: { handler: () => ({}) } } }, "url: "],
])("an option that will not do is refused by name: %j", (options, words) => {
  expect(() => createWorker({ ...at, ...options } as never)).toThrow(words);
});

test("an outcome has the result of its type once it is DONE, and an update what its kind has", () => {
  const client = createClient(at);
  const calls = async () => {
    const outcome = await client.dispatchAndWait("ocr", { image_path: "a" }, { timeoutMs: 1_000, priority: 1 });
    expectTypeOf(outcome.jobId).toEqualTypeOf<string>();
    // @ts-expect-error it may have failed
    outcome.result.text;
    if (outcome.status === "DONE") expectTypeOf(outcome.result?.text).toEqualTypeOf<string | undefined>();
    else expectTypeOf(outcome.error).toEqualTypeOf<string | undefined>();
    const other = await client.dispatchAndWait("mine", { any: 1 });
    expectTypeOf(other.result).toEqualTypeOf<Record<string, unknown> | undefined>();
    for await (const update of client.watch({ types: ["ocr"] })) {
      expectTypeOf(update.cursor).toEqualTypeOf<string>();
      // @ts-expect-error it may be a state
      update.changes;
      if (update.kind === "changes") expectTypeOf(update.changes[0]?.jobId).toEqualTypeOf<string | undefined>();
    }
  };
  expect(calls).toBeTypeOf("function");
});
