/** A stream to a watcher: when it ends, and what it says when there is nothing to say; on fake time. */
import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { OpenStream, WatcherCount } from "../../src/rpc/open-stream.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const LIMITS = { watchHeartbeatMs: 1_000, watchStallMs: 5_000 };

function open(signal: AbortSignal = new AbortController().signal) {
  const context = { signal, values: createContextValues() } as HandlerContext;
  return new OpenStream({ context, limits: LIMITS, waiting: { messages: 2, bytes: 100 }, heartbeat: () => "beat" });
}

async function all(messages: AsyncIterable<string>): Promise<string[]> {
  const read: string[] = [];
  for await (const message of messages) read.push(message);
  return read;
}

test("a call that was over before its handler began is told nothing and is not waited for", async () => {
  const stream = open(AbortSignal.abort());
  await stream.over;
  stream.say("late", 1);
  expect([stream.hasEnded, await all(stream.outbox)]).toEqual([true, []]);
});

test("a client that leaves ends it", async () => {
  const leaving = new AbortController();
  const stream = open(leaving.signal);
  stream.say("one", 1);
  leaving.abort();
  await stream.over;
  expect(await all(stream.outbox)).toEqual(["one"]);
});

test("a heartbeat is said when nothing else was, and none while something waits to be read", async () => {
  const stream = open();
  stream.say("one", 1);
  await vi.advanceTimersByTimeAsync(3_000);
  const read = stream.outbox[Symbol.asyncIterator]();
  expect((await read.next()).value).toBe("one");
  const next = read.next();
  await vi.advanceTimersByTimeAsync(1_000);
  expect((await next).value).toBe("beat");
  stream.end();
});

test("a watcher for which too much waits, or that does not read on in time, is ended with SLOW_READER", async () => {
  const full = open();
  for (const message of ["one", "two", "three"]) full.say(message, 1);
  await full.over;
  await expect(all(full.outbox)).rejects.toMatchObject({ reason: "SLOW_READER" });
  const stalled = open();
  stalled.say("one", 60);
  const room = stalled.room(0);
  await vi.advanceTimersByTimeAsync(5_000);
  await Promise.all([room, stalled.over]);
  await expect(all(stalled.outbox)).rejects.toMatchObject({ reason: "SLOW_READER" });
});

test("so many are let in at a time, and who leaves makes room", async () => {
  const watchers = new WatcherCount(1);
  const first = open();
  watchers.refuseTooMany();
  watchers.add(first);
  expect(() => watchers.refuseTooMany()).toThrow(expect.objectContaining({ reason: "TOO_MANY_STREAMS" }));
  first.end();
  await first.over;
  watchers.refuseTooMany();
});
