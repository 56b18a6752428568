/** What stands beside every figure: on what, and of which commit. */
import { execFileSync } from "node:child_process";
import { cpus, totalmem } from "node:os";

/** The machine in one line. */
export function machineLine(postgresVersion: string): string {
  const cores = cpus();
  const memoryGib = Math.round(totalmem() / 2 ** 30);
  const model = cores[0]?.model.trim() ?? "unknown CPU";
  return `${model}, ${cores.length} cores, ${memoryGib} GiB, Node ${process.versions.node}, PostgreSQL ${postgresVersion}`;
}

/** The checkout's commit, with a mark when files differ from it; "unknown" where there is no git. */
export function commitLine(): string {
  try {
    const args = ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"];
    return execFileSync("git", args, { encoding: "utf8", cwd: import.meta.dirname, stdio: "pipe" }).trim();
  } catch {
    return "unknown";
  }
}
