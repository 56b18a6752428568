/** Runs the command line as a person does: the launcher, in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { vi } from "vitest";
import { run } from "../../src/cli.ts";

export const LAUNCHER = fileURLToPath(new URL("../../bin/ai-job-broker.js", import.meta.url));

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  stdin?: string;
  cwd?: string;
}

/** A process whose output is gathered. */
export interface Running {
  child: ChildProcess;
  stdout(): string;
  stderr(): string;
  done: Promise<Ran>;
}

/** Starts it with nothing of this process's environment but PATH; DATA_DIR is nowhere unless given. */
export function startCli(args: string[], options: RunOptions = {}): Running {
  const env = { PATH: process.env["PATH"] ?? "", DATA_DIR: "/nonexistent/ai-job-broker", ...options.env };
  return watch(spawn(process.execPath, [LAUNCHER, ...args], { env, cwd: options.cwd, stdio: "pipe" }), options.stdin);
}

/** Runs it to its end. */
export function runCli(args: string[], options: RunOptions = {}): Promise<Ran> {
  return startCli(args, options).done;
}

/** Gathers what a process prints; a death by signal counts as 128 + its number, as in a shell. */
export function watch(child: ChildProcess, stdin = ""): Running {
  const { promise, resolve, reject } = Promise.withResolvers<Ran>();
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      texts[name] += text;
    });
  }
  // A command that does not read its stdin may be gone before it is written.
  child.stdin?.on("error", () => undefined).end(stdin);
  child.once("error", reject);
  child.once("close", (code, signal) =>
    resolve({ code: code ?? { SIGINT: 130, SIGTERM: 143 }[String(signal)] ?? 137, ...texts }),
  );
  return { child, stdout: () => texts.stdout, stderr: () => texts.stderr, done: promise };
}

/** The same within this process: much faster, for commands that only parse and print. */
export async function runHere(args: string[], env: Record<string, string> = {}): Promise<Ran> {
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    vi.spyOn(process[name], "write").mockImplementation((text) => {
      texts[name] += String(text);
      return true;
    });
  }
  for (const [name, value] of Object.entries({ DATA_DIR: "/nonexistent/ai-job-broker", ...env }))
    vi.stubEnv(name, value);
  try {
    return { code: await run(args), ...texts };
  } finally {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  }
}
