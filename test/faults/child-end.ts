/** Whatever ends the programme leaves no process behind. */
import type { ChildProcess } from "node:child_process";

const ours = new Set<ChildProcess>();
let isWatching = false;

export function endWithUs(child: ChildProcess): void {
  ours.add(child);
  child.once("exit", () => ours.delete(child));
  if (isWatching) return;
  isWatching = true;
  process.once("exit", () => {
    for (const one of ours) one.kill("SIGKILL");
  });
  // So that Ctrl-C goes the same way.
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)
    process.once(signal, () => process.exit(code));
}

export function ended(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
