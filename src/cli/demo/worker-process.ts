/** A worker of the demo as a process of its own. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type News, type Order, runWorker } from "./ipc.ts";

export interface WorkerProcess {
  id: string;
  /** Which of the broker's doors it uses. */
  speaks: Speech;
  /** Sends an order; a worker that has ended hears nothing. */
  tell(order: Order): void;
  onNews(listen: (news: News) => void): void;
  /** Resolves when the worker is ready for `go`. */
  ready: Promise<void>;
  /** Rejects when the worker ends by itself; never settles once it was killed. */
  ended: Promise<never>;
  /** SIGKILL: nothing is said to the broker. */
  kill(): Promise<void>;
}

/** What a worker speaks, and what it does in its process. */
const PROGRAMS = {
  gRPC: async () => (await import("./ocr-worker.ts")).workOverGrpc,
  REST: async () => (await import("./legacy-worker.ts")).workOverRest,
};

export type Speech = keyof typeof PROGRAMS;

/** Starts this very file as a process; it waits for its cast. */
export function startWorker(id: string, speaks: Speech): WorkerProcess {
  const child = fork(fileURLToPath(import.meta.url), [speaks], {
    execArgv: [],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    detached: process.platform !== "win32",
  });
  const listeners: ((news: News) => void)[] = [];
  child.on("message", (news: News) => {
    for (const listen of listeners) listen(news);
  });
  let killed = false;
  const ready = new Promise<void>((resolve) => listeners.push((news) => news.kind === "ready" && resolve()));
  const ended = whyItEnded(child).then((why) =>
    killed ? new Promise<never>(() => undefined) : Promise.reject(new Error(`worker ${id} ${why}`)),
  );
  // Whoever watches hears it all the same; nobody has to.
  ended.catch(() => undefined);
  return {
    id,
    speaks,
    tell: (order) => void (child.connected && child.send(order)),
    onNews: (listen) => void listeners.push(listen),
    ready,
    ended,
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
      killed = true;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

async function whyItEnded(child: ChildProcess): Promise<string> {
  let trouble = "";
  let errors = "";
  child.on("message", (news: News) => {
    if (news.kind === "trouble") trouble = news.message;
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    errors = `${errors}${chunk}`.slice(-2000);
  });
  return await new Promise((resolve) => {
    child.once("error", (error) => resolve(`could not be started: ${error.message}`));
    child.once("close", (code, signal) => {
      resolve(`ended by itself (${signal ?? `exit code ${code}`}): ${trouble || errors.trim() || "it said nothing"}`);
    });
  });
}

if (import.meta.main) await runWorker(await PROGRAMS[process.argv[2] as Speech]());
