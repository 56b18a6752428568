/** The load process, and the wait until its jobs have arrived at the workers. */
import { join } from "node:path";
import { type Child, startChild } from "./child.ts";
import type { Opening, Pace, Produced } from "./produce.ts";
import { until } from "./until.ts";

export interface Load {
  pid: number;
  /** Dispatches at this pace; resolves when everything is answered and `arrived` counts as many jobs. */
  run(pace: Pace, arrived: () => Promise<number>): Promise<Produced>;
  stop(): Promise<void>;
}

/** After its dispatch a job that is not worked on by then is lost, or the system is far behind. */
const ARRIVE_WITHIN_MS = 60_000;

export async function startLoad(opening: Opening): Promise<Load> {
  const child = startChild(join(import.meta.dirname, "produce.ts"));
  await opened(child, opening);
  return {
    pid: child.pid,
    async run(pace, arrived) {
      const produced = await child.ask<Produced>("run", pace);
      await untilArrived(produced.sent, arrived);
      return produced;
    },
    stop: child.stop,
  };
}

/** Asks a child to open; one that cannot is not left behind. */
export async function opened(child: Child, details: object): Promise<void> {
  try {
    await child.ask("open", details);
  } catch (error) {
    await child.stop();
    throw error;
  }
}

async function untilArrived(count: number, arrived: () => Promise<number>): Promise<void> {
  let here = 0;
  await until(
    async () => {
      here = await arrived();
      if (here > count) throw new Error(`${here} jobs were worked on, and only ${count} were dispatched`);
      return here === count;
    },
    ARRIVE_WITHIN_MS,
    () => `${count - here} of ${count} jobs did not arrive`,
  );
}
