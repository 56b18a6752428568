import fc from "fast-check";
import { expect, test } from "vitest";
import { Outbox } from "../../src/dispatch/outbox.ts";

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Reads on its own until the outbox ends. */
function reading<T>(outbox: Outbox<T>) {
  const read: T[] = [];
  const over = (async () => {
    for await (const message of outbox) read.push(message);
    return "ended";
  })();
  return { read, over };
}

test("messages are read in the order in which they were pushed, before the reader came and after", async () => {
  const outbox = new Outbox<string>({ messages: 9, bytes: 99 });
  outbox.push("a", 1);
  outbox.push("b", 1);
  const { read, over } = reading(outbox);
  await settled();
  expect(read).toEqual(["a", "b"]);
  outbox.push("c", 1);
  outbox.push("d", 1);
  await settled();
  expect(read).toEqual(["a", "b", "c", "d"]);
  outbox.end();
  expect(await over).toBe("ended");
});

test("a message past the limit of messages is not taken, and there is room again when one is read", async () => {
  const outbox = new Outbox<string>({ messages: 2, bytes: 99 });
  expect(["a", "b", "c"].map((message) => outbox.push(message, 1))).toEqual([true, true, false]);
  const reader = outbox[Symbol.asyncIterator]();
  expect((await reader.next()).value).toBe("a");
  expect(["d", "e"].map((message) => outbox.push(message, 1))).toEqual([true, false]);
  expect([(await reader.next()).value, (await reader.next()).value]).toEqual(["b", "d"]);
});

test("a message past the limit of bytes is not taken, a smaller one still is", async () => {
  const outbox = new Outbox<string>({ messages: 9, bytes: 10 });
  expect(outbox.push("a", 6)).toBe(true);
  expect(outbox.push("b", 5)).toBe(false);
  expect(outbox.push("c", 4)).toBe(true);
  const reader = outbox[Symbol.asyncIterator]();
  expect((await reader.next()).value).toBe("a");
  expect(outbox.push("d", 6)).toBe(true);
  expect([(await reader.next()).value, (await reader.next()).value]).toEqual(["c", "d"]);
});

test("one message larger than the limit is taken when it is alone, and nothing beside it", async () => {
  const outbox = new Outbox<string>({ messages: 9, bytes: 10 });
  expect(outbox.push("large", 50)).toBe(true);
  expect(outbox.push("small", 1)).toBe(false);
  const reader = outbox[Symbol.asyncIterator]();
  expect((await reader.next()).value).toBe("large");
  expect(outbox.push("small", 1)).toBe(true);
  expect(outbox.push("large", 50)).toBe(false);
});

test("after the end nothing more is taken; what waits is still read, then the reader ends", async () => {
  const outbox = new Outbox<string>({ messages: 9, bytes: 99 });
  outbox.push("last word", 1);
  outbox.end();
  expect(outbox.push("too late", 1)).toBe(false);
  const { read, over } = reading(outbox);
  expect(await over).toBe("ended");
  expect(read).toEqual(["last word"]);
});

test("an end with an error reaches the reader after what waits", async () => {
  const outbox = new Outbox<string>({ messages: 9, bytes: 99 });
  outbox.push("last word", 1);
  outbox.end(new Error("superseded"));
  const { read, over } = reading(outbox);
  await expect(over).rejects.toThrow("superseded");
  expect(read).toEqual(["last word"]);
});

test("a reader that waits hears the end at once, and of two ends the first one counts", async () => {
  const outbox = new Outbox<string>({ messages: 9, bytes: 99 });
  const { over } = reading(outbox);
  await settled();
  outbox.end(new Error("first"));
  outbox.end(new Error("second"));
  await expect(over).rejects.toThrow("first");
});

test("a reader that stops leaves the outbox as bounded as it was", async () => {
  const outbox = new Outbox<string>({ messages: 2, bytes: 99 });
  outbox.push("a", 1);
  for await (const message of outbox) {
    expect(message).toBe("a");
    break;
  }
  expect(["b", "c", "d"].map((message) => outbox.push(message, 1))).toEqual([true, true, false]);
  outbox.end();
  expect(outbox.push("e", 1)).toBe(false);
});

test("no order of pushes and reads lets more wait than the limits say, and what was taken is read once, in order", async () => {
  const step = fc.oneof(fc.record({ bytes: fc.integer({ min: 1, max: 30 }) }), fc.constant("read" as const));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const limits = { messages: 4, bytes: 20 };
      const outbox = new Outbox<{ nth: number; bytes: number }>(limits);
      const reader = outbox[Symbol.asyncIterator]();
      const waiting: { nth: number; bytes: number }[] = [];
      for (const [nth, one] of steps.entries()) {
        if (one === "read") {
          if (waiting.length > 0) expect((await reader.next()).value).toBe(waiting.shift());
          continue;
        }
        const message = { nth, bytes: one.bytes };
        const bytes = waiting.reduce((sum, each) => sum + each.bytes, 0);
        const fits = waiting.length < limits.messages && (bytes === 0 || bytes + one.bytes <= limits.bytes);
        expect(outbox.push(message, one.bytes)).toBe(fits);
        if (fits) waiting.push(message);
      }
      outbox.end();
      for (const message of waiting) expect((await reader.next()).value).toBe(message);
      expect((await reader.next()).done).toBe(true);
    }),
  );
});
