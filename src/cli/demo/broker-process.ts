/** One life of one of the demo's brokers: `ai-job-broker serve` as a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { environment, listSettings } from "../../config.ts";
import { aborted } from "./aborted.ts";

export interface BrokerSpawn {
  /** The program whose `serve` it is. */
  entry: string;
  name: string;
  folder: string;
  settings: Record<string, string>;
  /** Gets both outputs of all its lives. */
  logFile: string;
  onLine(line: string): void;
}

export interface BrokerProcess {
  pid: number;
  /** http://HOST:PORT, once it takes calls. Rejects with the end of its log when it ends before. */
  ready(signal: AbortSignal): Promise<string>;
  /** Rejects when the broker ends by itself; never settles once it was told to stop. */
  ended: Promise<never>;
  /** SIGTERM, and SIGKILL after 15 s. Resolves with "exit code 0" or how else it ended. */
  stop(): Promise<string>;
}

/** What `serve` prints on stdout once it takes calls. */
const READY = /listening on (https?:\/\/\S+)/;
const STOP_WITHIN_MS = 15_000;
const TAIL_LINES = 15;

export function spawnBroker(broker: BrokerSpawn): BrokerProcess {
  // A group of its own: Ctrl-C reaches the demo alone, which then ends its children in order.
  const child = spawn(process.execPath, [broker.entry, "serve"], {
    cwd: broker.folder,
    env: withoutOurSettings(broker.settings),
    stdio: ["ignore", "pipe", "pipe"],
    detached: process.platform !== "win32",
    windowsHide: true,
  });
  const url = keepLog(child, broker);
  let stopping = false;
  const ended = howItEnded(child).then(async (how) => {
    if (stopping) return await new Promise<never>(() => undefined);
    throw new Error(`${broker.name} ended by itself (${how}); the end of its log:\n${await tailOf(broker.logFile)}`);
  });
  ended.catch(() => undefined);
  return {
    pid: child.pid ?? 0,
    ready: (signal) => Promise.race([url, ended, aborted(signal)]),
    ended,
    stop: () => {
      stopping = true;
      return stop(child);
    },
  };
}

/** The person's settings (a DATABASE_URL above all) must not reach the demo's brokers. */
function withoutOurSettings(settings: Record<string, string>): NodeJS.ProcessEnv {
  const env = environment();
  for (const { env: name } of listSettings()) delete env[name];
  return { ...env, ...settings };
}

/** Writes both outputs to the log file; answers with the broker's URL once it is printed. */
function keepLog(child: ChildProcess, { logFile, onLine }: BrokerSpawn): Promise<string> {
  const log = createWriteStream(logFile, { flags: "a" });
  child.once("close", () => log.end());
  return new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on("line", (line) => {
        log.write(`${line}\n`);
        onLine(line);
        const url = stream === child.stdout ? READY.exec(line)?.[1] : undefined;
        if (url) resolve(url);
      });
    }
  });
}

/** Resolves when it is gone and all that it said was read. */
function howItEnded(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(`could not be started: ${error.message}`));
    child.once("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
}

async function tailOf(logFile: string): Promise<string> {
  const log = await readFile(logFile, "utf8").catch(() => "");
  return log.trimEnd().split("\n").slice(-TAIL_LINES).join("\n") || "(empty)";
}

async function stop(child: ChildProcess): Promise<string> {
  const late = new AbortController();
  if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
    const closed = once(child, "close");
    child.kill("SIGTERM");
    void sleep(STOP_WITHIN_MS, undefined, { signal: late.signal }).then(
      () => child.kill("SIGKILL"),
      () => undefined,
    );
    await closed;
    late.abort();
  }
  return child.signalCode ?? `exit code ${child.exitCode}`;
}
