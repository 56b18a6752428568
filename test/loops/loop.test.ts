import pino from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startLoop } from "../../src/loops/loop.ts";

const log = pino({ level: "silent" });

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("runs at its pace, at once when there is more, and again after a failure", async () => {
  const outcomes: (boolean | Error)[] = [true, true, false, new Error("away"), false];
  let runs = 0;
  const stop = startLoop(
    {
      name: "test",
      everyMs: 1_000,
      once: async () => {
        const outcome = outcomes[runs++] ?? false;
        if (outcome instanceof Error) throw outcome;
        return outcome;
      },
    },
    log,
  );
  await vi.advanceTimersByTimeAsync(0);
  expect(runs).toBe(3);
  await vi.advanceTimersByTimeAsync(1_100);
  expect(runs).toBe(4);
  await vi.advanceTimersByTimeAsync(1_100);
  expect(runs).toBe(5);
  await stop();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(runs).toBe(5);
});

test("a stop waits for the run under way, and none overlaps it", async () => {
  const end = Promise.withResolvers<boolean>();
  let running = 0;
  const stop = startLoop(
    {
      name: "test",
      everyMs: 10,
      once: () => {
        running++;
        return end.promise;
      },
    },
    log,
  );
  await vi.advanceTimersByTimeAsync(1_000);
  expect(running).toBe(1);
  let stopped = false;
  const stopping = stop().then(() => {
    stopped = true;
  });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(stopped).toBe(false);
  end.resolve(false);
  await stopping;
  expect(stopped).toBe(true);
});
