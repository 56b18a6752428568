/** A fleet of workers over several processes, as one. */
import { join } from "node:path";
import type { FleetOptions, FleetState, FleetTimes } from "../clients/fleet.ts";
import { type Child, startChild } from "./child.ts";
import { opened } from "./load.ts";
import { until } from "./until.ts";

export interface FleetProcesses {
  pids: number[];
  connections: number;
  state(): Promise<FleetState>;
  times(): Promise<FleetTimes>;
  mark(): Promise<void>;
  reportAll(): Promise<void>;
  /** Jobs that came since `take`. */
  count(): Promise<number>;
  /** Their latencies, in µs. */
  take(): Promise<number[]>;
  /** Resolves when so many workers have had a Welcome, or a job, since `mark`. */
  until(what: "welcomed" | "served", withinMs: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startFleet(options: FleetOptions, processes: number): Promise<FleetProcesses> {
  const count = Math.min(processes, options.workers);
  const shares = Array.from({ length: count }, (_, at) => Math.floor((options.workers + at) / count));
  const children = shares.map(() => startChild(join(import.meta.dirname, "work-fleet.ts")));
  const askAll = <T>(question: string): Promise<T[]> => Promise.all(children.map((child) => child.ask<T>(question)));
  const state = async () => added(await askAll<FleetState>("state"));
  await openAll(children, options, shares);
  return {
    pids: children.map(({ pid }) => pid),
    connections: shares.reduce((sum, workers) => sum + Math.ceil(workers / options.perConnection), 0),
    state,
    async times() {
      const all = await askAll<FleetTimes>("times");
      const list = (key: keyof FleetTimes) => all.flatMap((times) => times[key]);
      return { welcomedUs: list("welcomedUs"), servedUs: list("servedUs") };
    },
    mark: async () => void (await askAll("mark")),
    reportAll: async () => void (await askAll("reportAll")),
    count: async () => (await askAll<number>("count")).reduce((sum, count) => sum + count, 0),
    take: async () => (await askAll<number[]>("take")).flat(),
    async until(what, withinMs) {
      let now = await state();
      await until(
        async () => {
          now = await state();
          return now[what] === options.workers;
        },
        withinMs,
        () =>
          `${options.workers - now[what]} of ${options.workers} workers were not ${what} (${JSON.stringify(now.ends)})`,
      );
    },
    stop: async () => void (await Promise.all(children.map((child) => child.stop()))),
  };
}

async function openAll(children: Child[], options: FleetOptions, shares: number[]): Promise<void> {
  try {
    await Promise.all(children.map((child, at) => opened(child, { ...options, workers: shares[at] })));
  } catch (error) {
    await Promise.all(children.map((child) => child.stop()));
    throw error;
  }
}

function added(states: FleetState[]): FleetState {
  const ends: Record<string, number> = {};
  for (const state of states) {
    for (const [words, count] of Object.entries(state.ends)) ends[words] = (ends[words] ?? 0) + count;
  }
  const sum = (key: "welcomed" | "served") => states.reduce((total, state) => total + state[key], 0);
  return { welcomed: sum("welcomed"), served: sum("served"), ends };
}
