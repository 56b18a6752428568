/** A number of jobs through one system: stored, worked on, durably done. */
import { join } from "node:path";
import { type Child, startChild } from "../harness/child.ts";
import { nowUs } from "../harness/clock.ts";
import type { Ground } from "../harness/ground.ts";
import { opened } from "../harness/load.ts";
import type { Bulk } from "../harness/produce.ts";
import { until } from "../harness/until.ts";
import { type Used, watchUse } from "../harness/used.ts";
import type { RunningSystem, System } from "../systems/system.ts";

/** How the jobs come: all of them before the worker does, or while it works. */
export type Order = "preloaded" | "beside";

export interface Through {
  /** Jobs a second until all are stored; with the worker beside, it was slowed by it. */
  enqueued: number;
  /** Jobs a second from the first handler (preloaded) or the first dispatch (beside) to the last durable end. */
  done: number;
  used: Used<Part>;
  /** While the jobs were stored, if they were so before the worker came. */
  usedToStore: Used<Part> | undefined;
}

type Part = "producer" | "server" | "worker";

export interface RunOptions {
  jobs: number;
  /** Go through before the clock starts: processes that have just come up compile more than they work. */
  warmUp: number;
  order: Order;
  concurrency: number;
}

/** Jobs in one call that dispatches, and calls at a time. */
const BATCH = 500;
const LANES = 4;
const WITHIN_MS = 300_000;

export function runThrough(ground: Ground, system: System, options: RunOptions): Promise<Through> {
  return withProcesses(ground, system, (processes) => measure(ground, processes, options));
}

export interface Processes {
  running: RunningSystem;
  producer: Child;
  /** Not opened yet. */
  worker: Child;
  name: System["name"];
}

/** Starts everything, and leaves nothing behind. */
export async function withProcesses<R>(
  ground: Ground,
  system: System,
  act: (processes: Processes) => Promise<R>,
): Promise<R> {
  const running = await system.start(ground);
  const producer = startChild(join(import.meta.dirname, "../harness/produce.ts"));
  const worker = startChild(join(import.meta.dirname, "../harness/work.ts"));
  try {
    await opened(producer, { client: system.name, target: running.target });
    return await act({ running, producer, worker, name: system.name });
  } finally {
    await worker.stop();
    await producer.stop();
    await running.stop();
  }
}

/** Resolves when all are stored. */
export function produceAll(producer: Child, jobs: number): Promise<{ tookUs: number }> {
  return producer.ask("bulk", { count: jobs, batch: BATCH, lanes: LANES } satisfies Bulk);
}

async function measure(ground: Ground, processes: Processes, options: RunOptions): Promise<Through> {
  // What earlier rounds have left behind is not this one's.
  await processes.running.tables?.clear();
  await warmUp(processes, options);
  return options.order === "preloaded" ? drain(ground, processes, options) : flow(ground, processes, options);
}

/** All three processes do once what they are measured by. */
async function warmUp(processes: Processes, { warmUp: jobs, concurrency }: RunOptions): Promise<void> {
  await open(processes, concurrency);
  await produceAll(processes.producer, jobs);
  await untilDone(processes, jobs);
  await processes.worker.ask("close");
}

async function drain(ground: Ground, processes: Processes, { jobs, concurrency }: RunOptions): Promise<Through> {
  const { running, producer, worker } = processes;
  const usedToStore = await watchUse<Part>({ ...NOBODY, producer: producer.pid, server: running.serverPid }, ground);
  const { tookUs: storedUs } = await produceAll(producer, jobs);
  const stored = await usedToStore(jobs);
  const used = await watchUse<Part>({ ...NOBODY, server: running.serverPid, worker: worker.pid }, ground);
  await open(processes, concurrency);
  const endedUs = await untilDone(processes, jobs);
  const tookUs = endedUs - (await worker.ask<number>("firstUs"));
  return {
    enqueued: perSecond(jobs, storedUs),
    done: perSecond(jobs, tookUs),
    used: await used(jobs),
    usedToStore: stored,
  };
}

async function flow(ground: Ground, processes: Processes, { jobs, concurrency }: RunOptions): Promise<Through> {
  const { running, producer, worker } = processes;
  await open(processes, concurrency);
  const parts = { producer: producer.pid, server: running.serverPid, worker: worker.pid };
  const used = await watchUse<Part>(parts, ground);
  const beganUs = nowUs();
  const storing = produceAll(producer, jobs);
  const tookUs = (await untilDone(processes, jobs)) - beganUs;
  const { tookUs: storedUs } = await storing;
  return {
    enqueued: perSecond(jobs, storedUs),
    done: perSecond(jobs, tookUs),
    used: await used(jobs),
    usedToStore: undefined,
  };
}

const NOBODY: Record<Part, undefined> = { producer: undefined, server: undefined, worker: undefined };

function open({ worker, name, running }: Processes, concurrency: number): Promise<void> {
  return opened(worker, { client: name, target: running.target, concurrency });
}

/** Resolves with the time when so many handlers had begun and all that was stored was durably done. */
async function untilDone({ worker, running, name }: Processes, jobs: number): Promise<number> {
  await until(
    async () => (await worker.ask<number>("count")) >= jobs && (await running.isEmpty()),
    WITHIN_MS,
    () => `${name} did not end ${jobs} jobs`,
  );
  return nowUs();
}

function perSecond(jobs: number, tookUs: number): number {
  return jobs / (tookUs / 1e6);
}
