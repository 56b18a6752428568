/** What processes use, read from /proc: Linux only, elsewhere every figure is NaN. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface Usage {
  /** CPU time used so far, in seconds, user and system. */
  cpuSeconds: number;
  /** In MiB. */
  rssMib: number;
  /** The most since the start of the process, in MiB. */
  peakRssMib: number;
}

/** Of one process, all its threads included. */
export function usageOf(pid: number): Usage {
  const status = read(`/proc/${pid}/status`);
  const mib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1_024;
  return { cpuSeconds: ticks(pid).own / ticksPerSecond(), rssMib: mib("VmRSS"), peakRssMib: mib("VmHWM") };
}

/** CPU seconds of a process and of all its children, those that have ended included. */
export function treeCpuSeconds(pid: number): number {
  const { own, ended } = ticks(pid);
  const children = childrenOf(pid).reduce((sum, child) => sum + (ticks(child).own || 0), 0);
  return (own + ended + children) / ticksPerSecond();
}

let perSecond: number | undefined;

function ticksPerSecond(): number {
  perSecond ??= process.platform === "linux" ? Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" })) : 1;
  return perSecond;
}

function ticks(pid: number): { own: number; ended: number } {
  const [user, system, endedUser, endedSystem] = fieldsOf(pid).slice(11, 15).map(Number);
  const sum = (a = Number.NaN, b = Number.NaN) => a + b;
  return { own: sum(user, system), ended: sum(endedUser, endedSystem) };
}

function childrenOf(pid: number): number[] {
  if (process.platform !== "linux") return [];
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((other) => Number(fieldsOf(other)[1]) === pid);
}

/** From the state on; what stands before it, the name, may hold spaces. */
function fieldsOf(pid: number): string[] {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** A process may end while it is looked at. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
