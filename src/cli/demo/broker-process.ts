/** The demo's broker: `ai-job-broker serve` as a process of its own, on a free port and an embedded Postgres. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { environment, listSettings } from "../../config.ts";
import { aborted } from "./aborted.ts";

export interface BrokerProcess {
  /** http://HOST:PORT */
  url: string;
  pid: number;
  /** Rejects when the broker ends by itself. */
  ended: Promise<never>;
  /** SIGTERM, and SIGKILL after 10 s. */
  stop(): Promise<void>;
}

/** What `serve` prints on stdout once it takes calls. */
const READY = /listening on (https?:\/\/\S+)/;
const STOP_WITHIN_MS = 10_000;
const TAIL_LINES = 15;

/** Starts `entry serve`; rejects with the tail of its log when it ends before it is ready. */
export async function startBroker(
  entry: string,
  folder: string,
  settings: Record<string, string>,
  signal: AbortSignal,
): Promise<BrokerProcess> {
  const logFile = join(folder, "broker.log");
  // A group of its own: Ctrl-C reaches the demo alone, which then ends its children in order.
  const child = spawn(process.execPath, [entry, "serve"], {
    cwd: folder,
    env: withoutOurSettings(settings),
    stdio: ["ignore", "pipe", "pipe"],
    detached: process.platform !== "win32",
    windowsHide: true,
  });
  const ready = keepLog(child, logFile);
  const ended = failOnExit(child, logFile);
  ended.catch(() => undefined);
  try {
    const url = await Promise.race([ready, ended, aborted(signal)]);
    return { url, pid: child.pid ?? 0, ended, stop: () => stop(child) };
  } catch (error) {
    await stop(child);
    throw error;
  }
}

/** The person's settings (a DATABASE_URL above all) must not reach the demo's broker. */
function withoutOurSettings(settings: Record<string, string>): NodeJS.ProcessEnv {
  const env = environment();
  for (const { env: name } of listSettings()) delete env[name];
  return { ...env, ...settings };
}

/** Writes both outputs to the log file; answers with the broker's URL once it is printed. */
function keepLog(child: ChildProcess, logFile: string): Promise<string> {
  const log = createWriteStream(logFile);
  return new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on("line", (line) => {
        log.write(`${line}\n`);
        const url = stream === child.stdout ? READY.exec(line)?.[1] : undefined;
        if (url) resolve(url);
      });
    }
  });
}

async function failOnExit(child: ChildProcess, logFile: string): Promise<never> {
  const how = await new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(`could not be started: ${error.message}`));
    child.once("close", (code, signal) => resolve(`ended by itself (${signal ?? `exit code ${code}`})`));
  });
  const log = await readFile(logFile, "utf8").catch(() => "");
  const tail = log.trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
  throw new Error(`the broker ${how}; the end of its log:\n${tail || "(empty)"}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const closed = once(child, "exit");
  child.kill("SIGTERM");
  const late = new AbortController();
  const kill = sleep(STOP_WITHIN_MS, undefined, { signal: late.signal }).then(
    () => child.kill("SIGKILL"),
    () => undefined,
  );
  await closed;
  late.abort();
  await kill;
}
