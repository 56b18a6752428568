/** worker-process.ts, started and watched. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { until } from "../support/until.ts";

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface WorkerChild extends AsyncDisposable {
  /** Resolves when the line was printed. */
  saw(line: string): Promise<unknown>;
  kill(signal: NodeJS.Signals): void;
  /** Lets the handler of type `wait` return. */
  finish(): void;
  ended: Promise<Ended>;
}

export function startWorkerChild(settings: object): WorkerChild {
  const path = fileURLToPath(new URL("./worker-process.ts", import.meta.url));
  const child = spawn(process.execPath, [path, JSON.stringify(settings)], { stdio: "pipe", env: {} });
  const { promise: ended, resolve } = Promise.withResolvers<Ended>();
  const texts = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    texts.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    texts.stderr += text;
  });
  child.stdin.on("error", () => undefined);
  child.once("close", (code, signal) => resolve({ code, signal, ...texts }));
  return {
    saw: (line) => until(`the worker prints ${line}`, () => texts.stdout.split("\n").includes(line)),
    kill: (signal) => void child.kill(signal),
    finish: () => void child.stdin.write("finish\n"),
    ended,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
