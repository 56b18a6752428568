/** The decent client's side of a test: starts it, and asks how its calls went. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { until } from "../support/until.ts";
import { API_TOKEN, WORKER_TOKEN } from "./hostile-broker.ts";
import { sized } from "./size.ts";

/** Of its calls since it was last asked, in milliseconds. */
export interface Figures {
  calls: number;
  p50: number;
  p99: number;
  max: number;
  failures: string[];
}

export interface GoodClient {
  /** How many calls it has made since the last time that their figures were asked for. */
  count(): Promise<number>;
  /** What became of its calls since the last time that this was asked. */
  figures(): Promise<Figures>;
  /** The same, once there are so many since then, some of them begun after this was asked. */
  after(calls: number): Promise<Figures>;
  stop(): Promise<void>;
}

const PROGRAM = fileURLToPath(new URL("good-client-process.ts", import.meta.url));
const DEADLINE_MS = sized(60_000, 600_000);
/** Calls until the one that was under way is surely among them. */
const LATER = 20;

/** `shared`: others may take the jobs that it dispatches, so that it finds none is no failure. */
export async function startGoodClient(url: string, { shared = false } = {}): Promise<GoodClient> {
  const args = [url, WORKER_TOKEN, API_TOKEN, ...(shared ? ["shared"] : [])];
  const child = fork(PROGRAM, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const figures = () => ask<Figures>(child, "figures");
  const count = () => ask<number>(child, "count");
  const after = async (calls: number) => {
    const enough = Math.max(calls, (await count()) + LATER);
    const made = async () => (await count()) >= enough;
    await until(`the good client has made ${enough} calls`, made, DEADLINE_MS);
    return await figures();
  };
  await after(1);
  return {
    count,
    figures,
    after,
    async stop() {
      if (child.exitCode !== null) return;
      const gone = once(child, "exit");
      child.disconnect();
      await gone;
    },
  };
}

async function ask<T>(child: ChildProcess, what: "figures" | "count"): Promise<T> {
  const answer = once(child, "message");
  child.send(what);
  const [told] = await answer;
  return told as T;
}
