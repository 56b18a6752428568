/** A process of a bench (load, workers), as its parent sees it: it is asked, and it answers. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";

export interface Child {
  pid: number;
  /** Sends a question; the answer comes when it is done. Rejects with the child's own error, or when it ends. */
  ask<T>(question: string, details?: unknown): Promise<T>;
  /** Resolves when the process is gone. */
  stop(): Promise<void>;
}

export interface Question {
  id: number;
  question: string;
  details: unknown;
}

export type Answer = { id: number; answer: unknown } | { id: number; fault: string };

const STOP_WITHIN_MS = 10_000;

/** Starts a module of bench/ as a process of its own. What it prints goes to our stderr. */
export function startChild(module: string): Child {
  const child = fork(module, { stdio: ["ignore", 2, 2, "ipc"] });
  const open = new Map<number, { resolve: (answer: unknown) => void; reject: (error: Error) => void }>();
  let last = 0;
  child.on("message", (message: Answer) => {
    const asked = open.get(message.id);
    open.delete(message.id);
    if ("fault" in message) asked?.reject(new Error(`${module}: ${message.fault}`));
    else asked?.resolve(message.answer);
  });
  child.once("exit", (code, signal) => {
    const gone = new Error(`${module} has ended by itself (${signal ?? code})`);
    for (const { reject } of open.values()) reject(gone);
    open.clear();
  });
  return {
    pid: child.pid ?? 0,
    ask<T>(question: string, details?: unknown) {
      return new Promise<T>((resolve, reject) => {
        const id = ++last;
        open.set(id, { resolve: resolve as (answer: unknown) => void, reject });
        child.send({ id, question, details } satisfies Question, (error) => error && reject(error));
      });
    },
    stop: () => stop(child),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  const kill = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN_MS);
  // The end of the channel is the order to leave (answer-parent.ts).
  child.disconnect();
  await gone;
  clearTimeout(kill);
}
