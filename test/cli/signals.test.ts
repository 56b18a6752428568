import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { isUnderNpm, stopSignals } from "../../src/cli/signals.ts";
import { until } from "../support/until.ts";
import { watch } from "./run-cli.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});

afterEach(() => {
  vi.useRealTimers();
});

function listen() {
  const exits: number[] = [];
  return { ...stopSignals({ exit: (code) => exits.push(code) }), exits };
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

test("npx dies of a SIGTERM without passing it on, so the end of its shell counts as one", async () => {
  vi.useRealTimers();
  const signals = fileURLToPath(new URL("../../src/cli/signals.ts", import.meta.url));
  const program = `
    import { stopSignals } from ${JSON.stringify(signals)};
    const { signal } = stopSignals();
    setTimeout(() => {}, 60_000);
    signal.addEventListener("abort", () => { console.log("told " + signal.reason); process.exit(); });
    console.log("up");`;
  // As npx runs a command: a shell that waits for it.
  const shell = `"$NODE" --input-type=module -e "$PROGRAM"; exit $?`;
  const env = { PATH: process.env["PATH"], NODE: process.execPath, PROGRAM: program, npm_lifecycle_script: "a b" };
  const running = watch(spawn("sh", ["-c", shell], { env, stdio: "pipe" }));
  await until("it is up", () => running.stdout().includes("up"));
  running.child.kill("SIGTERM");
  expect((await running.done).stdout).toBe("up\ntold SIGTERM\n");
});

test("a script that puts the broker into the background means to leave it behind", () => {
  expect(isUnderNpm({ npm_lifecycle_script: "ai-job-broker serve" })).toBe(true);
  expect(isUnderNpm({ npm_lifecycle_script: "ai-job-broker serve & wait-on tcp:50051" })).toBe(false);
  expect(isUnderNpm({})).toBe(false);
});
