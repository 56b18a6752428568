import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { stopSignals } from "../../src/cli/signals.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});

afterEach(() => {
  vi.useRealTimers();
});

function listen() {
  const exits: number[] = [];
  return { ...stopSignals((code) => exits.push(code)), exits };
}

test("the first signal asks to stop and is named", () => {
  const { signal, exits, dispose } = listen();
  process.emit("SIGTERM", "SIGTERM");
  expect({ aborted: signal.aborted, reason: signal.reason, exits }).toEqual({
    aborted: true,
    reason: "SIGTERM",
    exits: [],
  });
  dispose();
});

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("a second %s ends the process at once with %i", (name, code) => {
  const { exits, dispose } = listen();
  process.emit("SIGTERM", "SIGTERM");
  vi.advanceTimersByTime(300);
  process.emit(name, name);
  expect(exits).toEqual([code]);
  dispose();
});

test("one Ctrl-C that comes from the terminal, npm and the launcher counts once", () => {
  const { exits, dispose } = listen();
  process.emit("SIGINT", "SIGINT");
  vi.advanceTimersByTime(30);
  process.emit("SIGINT", "SIGINT");
  process.emit("SIGINT", "SIGINT");
  expect(exits).toEqual([]);
  dispose();
});

test("once disposed it hears nothing", () => {
  const { signal, dispose } = listen();
  const heard = vi.fn();
  process.once("SIGTERM", heard);
  dispose();
  process.emit("SIGTERM", "SIGTERM");
  expect({ aborted: signal.aborted, heard: heard.mock.calls.length }).toEqual({ aborted: false, heard: 1 });
});
