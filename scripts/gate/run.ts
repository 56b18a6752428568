/** Runs the steps of the gate one after the other: all of them, whatever fails, so that one run names every fault. */
import { spawn } from "node:child_process";
import { delimiter, join } from "node:path";

export interface Outcome {
  ok: boolean;
  /** Shown when the step fails. */
  output: string;
}

export interface Step {
  name: string;
  /** What it holds, in a few words. */
  holds: string;
  run: () => Promise<Outcome>;
}

export interface StepResult {
  name: string;
  ok: boolean;
  durationMs: number;
}

/** Runs every step and prints a line before and after each; a step that throws counts as failed. Never rejects. */
export async function runSteps(steps: readonly Step[], print: (line: string) => void): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for (const [at, step] of steps.entries()) {
    print(`[${at + 1}/${steps.length}] ${step.name}: ${step.holds}`);
    const startedAt = performance.now();
    const outcome = await step.run().catch((error: unknown) => ({
      ok: false,
      output: error instanceof Error ? (error.stack ?? error.message) : String(error),
    }));
    const durationMs = performance.now() - startedAt;
    if (!outcome.ok && outcome.output.trim() !== "") print(outcome.output.trimEnd());
    print(`      ${outcome.ok ? "ok" : "FAILED"} in ${seconds(durationMs)}`);
    results.push({ name: step.name, ok: outcome.ok, durationMs });
  }
  return results;
}

/** The table at the end of a run. */
export function summary(results: readonly StepResult[]): string {
  const width = Math.max(...results.map((result) => result.name.length), 4);
  const lines = results.map(
    (result) =>
      `${result.name.padEnd(width)}  ${result.ok ? "ok    " : "FAILED"}  ${seconds(result.durationMs).padStart(7)}`,
  );
  const failed = results.filter((result) => !result.ok).length;
  const total = results.reduce((sum, result) => sum + result.durationMs, 0);
  const verdict = failed === 0 ? `all ${results.length} steps ok` : `${failed} of ${results.length} steps FAILED`;
  return [...lines, "", `${verdict}, ${seconds(total)}`].join("\n");
}

export interface CommandOptions {
  cwd: string;
  /** Pass the output through as it comes, instead of keeping it for a failure. */
  live?: boolean;
}

/** Runs one command, looking in the project's own node_modules/.bin first. Rejects only when it cannot be started. */
export function command(name: string, args: readonly string[], options: CommandOptions): Promise<Outcome> {
  const bin = join(import.meta.dirname, "..", "..", "node_modules", ".bin");
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, {
      cwd: options.cwd,
      stdio: ["ignore", options.live ? "inherit" : "pipe", options.live ? "inherit" : "pipe"],
      // npm's links in .bin are .cmd files on Windows, which only a shell starts.
      shell: process.platform === "win32",
      env: {
        ...process.env,
        // Tools that write into a pipe of ours cannot see whether a terminal is behind it.
        [process.stdout.isTTY ? "FORCE_COLOR" : "NO_COLOR"]: "1",
        PATH: `${bin}${delimiter}${process.env["PATH"] ?? ""}`,
      },
    });
    let output = "";
    const keep = (chunk: Buffer): void => {
      output += chunk.toString("utf8");
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    child.once("error", (error) => {
      reject(new Error(`${name} did not start (${error.message}): run npm ci first`, { cause: error }));
    });
    child.once("close", (code, signal) => {
      const how = code === 0 || options.live ? "" : `\n${name} ended with ${signal ?? `exit code ${code}`}`;
      resolve({ ok: code === 0, output: output + how });
    });
  });
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
