/** The broker of a bench: `serve` as a process of its own, with its default settings but for what is told. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { environment, listSettings } from "../../src/config.ts";

export const WORKER_TOKEN = "bench-worker-token";
export const API_TOKEN = "bench-api-token";

export interface BrokerOptions {
  databaseUrl: string;
  /** Its log goes here. */
  folder: string;
  /** 0: a free one. */
  port?: number;
  /** As in the environment. */
  settings?: Record<string, string> | undefined;
  /** Its memory can be asked for (live-memory.ts). */
  inspect?: boolean;
  /** A folder for a CPU profile of the whole life of the process, written at its end. */
  profileTo?: string | undefined;
}

export interface BrokerProcess {
  /** http://HOST:PORT */
  url: string;
  port: number;
  pid: number;
  logFile: string;
  /** Sends the signal and waits for the end of the process. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
}

const ROOT = resolve(import.meta.dirname, "../..");
/** What npm installs, as its launcher starts it, not the sources: these cost 40 MiB and a second of compiling more. */
const MAIN = join(ROOT, "dist/main.js");
const { nodeFlags } = (await import(new URL("../../bin/choose.js", import.meta.url).href)) as {
  nodeFlags(nodeOptions: string | undefined): string[];
};
/** What `serve` prints on stdout once it takes calls. */
const READY = /listening on (https?:\/\/\S+)/;
const STOP_WITHIN_MS = 40_000;

/** Resolves once it listens; rejects with the end of its log when it leaves before that. */
export async function startBroker(options: BrokerOptions): Promise<BrokerProcess> {
  build();
  const logFile = join(options.folder, "broker.log");
  const log = openSync(logFile, "a");
  const profile = options.profileTo === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${options.profileTo}`];
  const inspect = options.inspect === true ? ["--inspect=127.0.0.1:0"] : [];
  // The log goes straight to the file: nobody else spends time on it.
  const child = spawn(
    process.execPath,
    [...nodeFlags(process.env["NODE_OPTIONS"]), ...profile, ...inspect, MAIN, "serve"],
    {
      cwd: options.folder,
      env: environmentOf(options),
      stdio: ["ignore", "pipe", log],
    },
  );
  closeSync(log);
  // Whatever ends the bench must not leave a broker behind.
  const kill = () => void child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  const failed = failure(child, logFile);
  // Later it ends because it is told to.
  failed.catch(() => undefined);
  const url = await Promise.race([address(child), failed]);
  return {
    url,
    port: Number(new URL(url).port),
    pid: child.pid ?? 0,
    logFile,
    end: (signal) => end(child, signal),
  };
}

let isBuilt = false;

/** Once in each bench, so that it measures what is in src/ now. */
function build(): void {
  if (isBuilt) return;
  execFileSync(process.execPath, [join(ROOT, "scripts/build.ts")], { stdio: ["ignore", "ignore", "inherit"] });
  isBuilt = true;
}

/** The person's own settings, a DATABASE_URL above all, must not reach it. */
function environmentOf({ databaseUrl, port = 0, settings = {} }: BrokerOptions): NodeJS.ProcessEnv {
  const env = environment();
  for (const { env: name } of listSettings()) delete env[name];
  return {
    ...env,
    DATABASE_URL: databaseUrl,
    PORT: String(port),
    INTERNAL_WORKER_TOKEN: WORKER_TOKEN,
    INTERNAL_API_TOKEN: API_TOKEN,
    ...settings,
  };
}

function address(child: ChildProcess): Promise<string> {
  return new Promise((found) => {
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const url = READY.exec(line)?.[1];
      if (url !== undefined) found(url);
    });
  });
}

async function failure(child: ChildProcess, logFile: string): Promise<never> {
  const [code, signal] = await once(child, "exit");
  const tail = readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-10).join("\n");
  throw new Error(`the broker has ended (${signal ?? code}); the end of its log:\n${tail}`);
}

async function end(child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  const kill = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN_MS);
  child.kill(signal);
  await gone;
  clearTimeout(kill);
}
