/** A number of jobs through one system: stored, worked on, durably done. */
import { join } from "node:path";
import { type Child, startChild } from "../harness/child.ts";
import { nowUs } from "../harness/clock.ts";
import type { Ground } from "../harness/ground.ts";
import { opened } from "../harness/load.ts";
import type { Bulk } from "../harness/produce.ts";
import { until } from "../harness/until.ts";
import { cpuOf, cpuPerJob, usageOf } from "../harness/usage.ts";
import type { RunningSystem, System } from "../systems/system.ts";

/** How the jobs come: all of them before the worker does, or while it works. */
export type Order = "preloaded" | "beside";

export interface Through {
  /** Jobs a second until all are stored; with the worker beside, it was slowed by it. */
  enqueued: number;
  /** Jobs a second from the first handler (preloaded) or the first dispatch (beside) to the last durable end. */
  done: number;
  /** CPU that a job took while it was worked on, in µs. */
  cpu: Record<"server" | "worker" | "Postgres", number>;
  /** At the end, in MiB. */
  rss: Record<"server" | "worker", number>;
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

/** Starts everything, and leaves nothing behind. */
export async function runThrough(ground: Ground, system: System, options: RunOptions): Promise<Through> {
  const running = await system.start(ground);
  const producer = startChild(join(import.meta.dirname, "../harness/produce.ts"));
  const worker = startChild(join(import.meta.dirname, "../harness/work.ts"));
  try {
    await opened(producer, { client: system.name, target: running.target });
    return await measure(ground, running, { producer, worker, name: system.name }, options);
  } finally {
    await worker.stop();
    await producer.stop();
    await running.stop();
  }
}

interface Processes {
  producer: Child;
  worker: Child;
  name: System["name"];
}

async function measure(
  ground: Ground,
  running: RunningSystem,
  { producer, worker, name }: Processes,
  { jobs, order, concurrency }: RunOptions,
): Promise<Through> {
  const bulk: Bulk = { count: jobs, batch: BATCH, lanes: LANES };
  const produce = () => producer.ask<{ tookUs: number }>("bulk", bulk);
  const open = () => opened(worker, { client: name, target: running.target, concurrency });
  const pids = { server: running.serverPid, worker: worker.pid };
  const produced = order === "preloaded" ? await produce() : undefined;
  if (order === "beside") await open();
  const before = cpuOf(pids, ground.postgresPid);
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
  const cpu = cpuPerJob(before, cpuOf(pids, ground.postgresPid), jobs);
  const mib = (pid: number | undefined) => (pid === undefined ? Number.NaN : usageOf(pid).rssMib);
  return {
    enqueued: jobs / (tookUs / 1e6),
    done: jobs / ((endedUs - firstUs) / 1e6),
    cpu,
    rss: { server: mib(running.serverPid), worker: mib(worker.pid) },
  };
}
