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
  used: Used<"server" | "worker">;
}

export interface RunOptions {
  jobs: number;
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

async function measure(
  ground: Ground,
  { running, producer, worker, name }: Processes,
  { jobs, order, concurrency }: RunOptions,
): Promise<Through> {
  const produce = () => produceAll(producer, jobs);
  const open = () => opened(worker, { client: name, target: running.target, concurrency });
  const produced = order === "preloaded" ? await produce() : undefined;
  if (order === "beside") await open();
  const usedBy = watchUse({ server: running.serverPid, worker: worker.pid }, ground.postgresPid);
  const beganUs = nowUs();
  const under = order === "beside" ? produce() : open();
  await until(
    async () => (await worker.ask<number>("count")) >= jobs && (await running.isEmpty()),
    WITHIN_MS,
    () => `${name} did not end ${jobs} jobs`,
  );
  const endedUs = nowUs();
  const { tookUs } = produced ?? ((await under) as { tookUs: number });
  const firstUs = order === "preloaded" ? await worker.ask<number>("firstUs") : beganUs;
  const used = usedBy(jobs);
  return {
    enqueued: jobs / (tookUs / 1e6),
    done: jobs / ((endedUs - firstUs) / 1e6),
    used,
  };
}
