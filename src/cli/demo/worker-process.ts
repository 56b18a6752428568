/** A worker of the demo as a process of its own. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type News, type Order, runWorker } from "./ipc.ts";
import type { Ledger } from "./ledger.ts";

export interface WorkerProcess {
  id: string;
  by: Way;
  readonly state: "starting" | "ready" | "killed";
  /** Sends an order; a worker that has ended hears nothing. */
  tell(order: Order): void;
  /** Resolves when the worker is ready for `go`. */
  ready: Promise<void>;
  /** Rejects when the worker ends by itself; never settles once it was killed. */
  ended: Promise<never>;
  /** SIGKILL: nothing is said to the broker. */
  kill(): Promise<void>;
}

/** How a worker gets its jobs, and what it does in its process. */
const PROGRAMS = {
  stream: async () => (await import("./stream-worker.ts")).workOverStream,
  REST: async () => (await import("./legacy-worker.ts")).workOverRest,
};

export type Way = keyof typeof PROGRAMS;

/** Starts this very file as a process; it waits for its cast. What it does is written into the ledger. */
export function startWorker(id: string, by: Way, ledger: Ledger): WorkerProcess {
  const child = fork(fileURLToPath(import.meta.url), [by], {
    execArgv: [],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    detached: process.platform !== "win32",
  });
  const { promise: ready, resolve: onReady } = Promise.withResolvers<void>();
  let state: WorkerProcess["state"] = "starting";
  let trouble = "";
  child.on("message", (news: News) => {
    if (news.kind === "began") ledger.began(id, news.jobId, news.atMs);
    else if (news.kind === "ended") ledger.ended(id, news.jobId, news.outcome, news.atMs);
    else if (news.kind === "trouble") trouble = news.message;
    else {
      state = "ready";
      onReady();
    }
  });
  const ended = howItEnded(child).then((how) => {
    if (state === "killed") return new Promise<never>(() => undefined);
    throw new Error(`worker ${id} ended by itself (${how.code}): ${trouble || how.errors || "it said nothing"}`);
  });
  // Whoever watches hears it all the same; nobody has to.
  ended.catch(() => undefined);
  return {
    id,
    by,
    get state() {
      return state;
    },
    tell: (order) => void (child.connected && child.send(order)),
    ready,
    ended,
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
      state = "killed";
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

async function howItEnded(child: ChildProcess): Promise<{ code: string; errors: string }> {
  let errors = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    errors = `${errors}${chunk}`.slice(-2000);
  });
  const code = await new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  return { code, errors: errors.trim() };
}

if (import.meta.main) await runWorker(await PROGRAMS[process.argv[2] as Way]());
