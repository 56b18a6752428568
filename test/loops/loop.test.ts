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

test("a nudge has it run soon, and then less and less often until its usual pace", async () => {
  const at: number[] = [];
  let nudge: () => void = () => undefined;
  const begun = Date.now();
  const loop = {
    name: "test",
    everyMs: 1_000,
    async once() {
      at.push(Date.now() - begun);
      return false;
    },
    onStart(ofLoop: () => void) {
      nudge = ofLoop;
    },
  };
  const stop = startLoop(loop, log);
  await vi.advanceTimersByTimeAsync(500);
  expect(at).toEqual([0]);
  nudge();
  await vi.advanceTimersByTimeAsync(10);
  nudge();
  await vi.advanceTimersByTimeAsync(10);
  expect(at).toEqual([0, 520]);
  await vi.advanceTimersByTimeAsync(10_000);
  const gaps = at.slice(2).map((time, n) => time - (at[n + 1] as number));
  const usual = [20, 40, 80, 160, 320, 640, 1_000, 1_000];
  // Each but the nudged one has a tenth of jitter.
  usual.forEach((ms, n) => {
    expect(gaps[n]).toBeGreaterThan(ms * 0.89);
    expect(gaps[n]).toBeLessThan(ms * 1.11);
  });
  await stop();
  nudge();
  const runs = at.length;
  await vi.advanceTimersByTimeAsync(120_000);
  expect(at).toHaveLength(runs);
});

test("a nudge during a run brings the next one soon, for the run may have been too early", async () => {
  const end = Promise.withResolvers<void>();
  let runs = 0;
  let nudge: () => void = () => undefined;
  const loop = {
    name: "test",
    everyMs: 60_000,
    async once() {
      runs++;
      await end.promise;
      return false;
    },
    onStart(ofLoop: () => void) {
      nudge = ofLoop;
    },
  };
  const stop = startLoop(loop, log);
  nudge();
  end.resolve();
  await vi.advanceTimersByTimeAsync(25);
  expect(runs).toBe(2);
  await stop();
});

test("after a failure nudges change nothing until it has run well again", async () => {
  let fails = true;
  let runs = 0;
  let nudge: () => void = () => undefined;
  const loop = {
    name: "test",
    everyMs: 1_000,
    async once() {
      runs++;
      if (fails) throw new Error("away");
      return false;
    },
    onStart(ofLoop: () => void) {
      nudge = ofLoop;
    },
  };
  const stop = startLoop(loop, log);
  await vi.advanceTimersByTimeAsync(0);
  for (let n = 0; n < 20; n++) {
    nudge();
    await vi.advanceTimersByTimeAsync(25);
  }
  expect(runs).toBe(1);
  fails = false;
  await vi.advanceTimersByTimeAsync(700);
  expect(runs).toBe(2);
  nudge();
  await vi.advanceTimersByTimeAsync(25);
  expect(runs).toBe(3);
  await stop();
});
