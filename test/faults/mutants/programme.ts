/** The fault programme in a copy of the project, as a process of its own, and what it has found there. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

/** What its report.json says of a cell, as far as it is read here. */
export interface CellReport {
  cell: string;
  faultsFound: string[];
  broken: { rule: string; job: string; what: string }[];
}

export interface Played {
  /** Every cell held. */
  held: boolean;
  /** Empty where it came to no report. */
  cells: CellReport[];
  machine: string;
  said: string;
  /** What it printed to stderr. */
  errors: string;
}

export interface PlayOptions {
  folder: string;
  cells: readonly string[];
  seed: number;
  /** Cells at a time. */
  lanes: number;
  signal: AbortSignal;
}

/** A mutant may keep its brokers from ever coming to an end. */
const TOGETHER_MS = 300_000;

/** Plays the cells once. What it leaves behind in its temporary folder is removed. */
export async function play({ folder, cells, seed, lanes, signal }: PlayOptions): Promise<Played> {
  const [out, temporary] = [join(folder, "out"), join(folder, "tmp")];
  mkdirSync(temporary, { recursive: true });
  const main = join(folder, "test/faults/main.ts");
  const args = [main, "--only", cells.join(","), "--lanes", String(lanes), "--seed", String(seed), "--out", out];
  const cache = join(folder, "compiled");
  const env = { ...process.env, TMPDIR: temporary, NODE_COMPILE_CACHE: cache };
  const { promise, resolve } = Promise.withResolvers<{ code: number | null; said: string; errors: string }>();
  const options = { cwd: folder, env, signal, timeout: TOGETHER_MS, maxBuffer: 1e9 };
  const child = execFile(process.execPath, args, options, (_, said, errors) =>
    resolve({ code: child.exitCode, said, errors }),
  );
  const { code, said, errors } = await promise;
  signal.throwIfAborted();
  const file = join(out, "report.json");
  const report = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Report) : { outcomes: [], machine: "" };
  for (const left of [out, temporary]) rmSync(left, { recursive: true, force: true, maxRetries: 5 });
  return { held: code === 0, cells: report.outcomes, machine: report.machine, said, errors };
}

interface Report {
  outcomes: CellReport[];
  machine: string;
}
