/** A broker in a process of its own, to be attacked: its address, its memory after a full collection, its log. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { until } from "../support/until.ts";
import { connectInspector } from "./inspector.ts";

export const WORKER_TOKEN = "hostile-worker-token";
export const API_TOKEN = "hostile-api-token";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const MB = 1024 * 1024;
/** Of pino. */
const ERROR_LEVEL = 50;

export interface HostileBroker {
  url: string;
  port: number;
  pid: number;
  /** Undefined while it lives. */
  readonly exit: string | undefined;
  /** What it has logged as faults of its own, each text once; with a mark, only since then. */
  faults(mark?: number): string[];
  /** Where its log stands. */
  mark(): number;
  /** Everything that it has written to its log. */
  logText(): string;
  /** Its resident memory in MB, as it stands. */
  rss(): Promise<number>;
  /** The same after everything that can be collected has been. */
  collected(): Promise<number>;
  /** The same after its allocator has returned what is free, too, the lower of a few looks. */
  settled(): Promise<number>;
  stop(): Promise<void>;
}

/** Starts `serve` on a free port. It listens to an inspector too, which alone can ask it to collect its garbage. */
export async function startHostileBroker(
  databaseUrl: string,
  env: Record<string, string> = {},
): Promise<HostileBroker> {
  const child = spawn(process.execPath, ["--inspect=127.0.0.1:0", MAIN, "serve"], {
    env: {
      PATH: process.env["PATH"] ?? "",
      NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? "",
      DATABASE_URL: databaseUrl,
      INTERNAL_WORKER_TOKEN: WORKER_TOKEN,
      INTERNAL_API_TOKEN: API_TOKEN,
      PORT: "0",
      SHUTDOWN_TIMEOUT_MS: "5000",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const texts = gathered(child);
  const told = (pattern: RegExp) => () => {
    if (child.exitCode !== null) throw new Error(`the broker is gone: ${texts.stderr}`);
    return pattern.exec(texts.stdout + texts.stderr)?.[1];
  };
  const inspector = await until("the inspector listens", told(/Debugger listening on (ws:\S+)/), 30_000);
  const url = await until("the broker has printed its address", told(/listening on (http\S+)/), 30_000);
  const { collect, trim } = await connectInspector(inspector);
  const pid = child.pid as number;
  const rss = () => residentMb(pid);
  return {
    url,
    port: Number(new URL(url).port),
    pid,
    rss,
    get exit() {
      return child.exitCode === null && child.signalCode === null
        ? undefined
        : `${child.exitCode ?? child.signalCode}: ${texts.stderr.slice(-2_000)}`;
    },
    faults: (mark = 0) => faultsOf(texts.stderr.slice(mark)),
    mark: () => texts.stderr.length,
    logText: () => texts.stderr,
    async collected() {
      await collect();
      return await rss();
    },
    async settled() {
      const looks: number[] = [];
      while (looks.length < 3) {
        await collect();
        await trim();
        looks.push(await rss());
      }
      return Math.min(...looks);
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

function gathered(child: ChildProcess) {
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      texts[name] += text;
    });
  }
  return texts;
}

/** Error lines of the log, and what the runtime itself says of promises and errors that nobody caught. */
function faultsOf(text: string): string[] {
  const faults = text.split("\n").flatMap((line) => {
    if (!line.startsWith("{")) return /unhandled|uncaught|warning: possible/i.test(line) ? [line] : [];
    const { level, msg, method, err } = JSON.parse(line) as Logged;
    return level < ERROR_LEVEL
      ? []
      : [[msg, method, err?.[0]?.message].filter((part) => part !== undefined).join(": ")];
  });
  return [...new Set(faults)];
}

interface Logged {
  level: number;
  msg: string;
  method?: string;
  err?: { message: string }[];
}

/** Resident memory in MB, as the kernel counts it. */
export async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024) / MB;
}
