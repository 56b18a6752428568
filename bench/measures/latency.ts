/** latency: how long from the call that dispatches a job to the start of its handler, on an idle queue. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startChild } from "../harness/child.ts";
import { type Measure, measureOf, percentile } from "../harness/figures.ts";
import type { Ground } from "../harness/ground.ts";
import { opened, startLoad } from "../harness/load.ts";
import { type Used, usedMeasures, watchUse } from "../harness/used.ts";
import { bestLatencySystems, latencySystems } from "../systems/latency-systems.ts";
import { type System, titleOf } from "../systems/system.ts";
import { inTurn } from "./in-turn.ts";
import type { BenchMeasure } from "./measure.ts";

/** Jobs that the one worker takes at a time. */
const CONCURRENCY = 10;
const MOST_WARM_UP_S = 5;
const SHARES = [0.5, 0.95, 0.99];

export const latency: BenchMeasure = {
  name: "latency",
  about: "from the call that dispatches a job to the start of its handler, on an idle queue; what the call took, too",
  async run({ ground, rounds, quick, alone, say }) {
    const all = quick ? bestLatencySystems() : latencySystems(undefined);
    const systems = alone ? all.filter(({ name }) => name === "ai-job-broker") : all;
    const seconds = quick ? 3 : 10;
    // At 1,000 a second each job is a call of its own, which is more than two cores can do for most systems.
    const rates = quick ? [100] : [100, 1_000];
    const found: Measure[] = [];
    for (const rate of rates) found.push(...(await measureLatency(ground, systems, { rate, seconds, rounds, say })));
    return found;
  },
};

export interface LatencyOptions {
  /** Jobs a second. */
  rate: number;
  seconds: number;
  rounds: number;
  say: (line: string) => void;
}

/** All systems in turn, round after round, each with nothing else running. */
export async function measureLatency(
  ground: Ground,
  systems: readonly System[],
  { rate, seconds, rounds, say }: LatencyOptions,
): Promise<Measure[]> {
  const results = await inTurn({ rounds, say }, `latency at ${rate}/s`, systems, titleOf, (system) =>
    measureRound(ground, system, rate, seconds),
  );
  return systems.flatMap((system, at) => measuresOf(system, rate, results[at] ?? []));
}

interface Round {
  latenciesUs: number[];
  answeredUs: number[];
  used: Used<"producer" | "server" | "worker">;
}

async function measureRound(on: Ground, system: System, perSecond: number, seconds: number): Promise<Round> {
  const running = await system.start(on);
  const worker = startChild(join(import.meta.dirname, "../harness/work.ts"));
  try {
    const { target } = running;
    await opened(worker, { client: system.name, target, concurrency: CONCURRENCY });
    const load = await startLoad({ client: system.name, target });
    try {
      const arrived = () => worker.ask<number>("count");
      await load.run({ perSecond, seconds: Math.min(MOST_WARM_UP_S, seconds) }, arrived);
      await worker.ask("take");
      await sleep(500);
      const parts = { producer: load.pid, server: running.serverPid, worker: worker.pid };
      const usedBy = await watchUse(parts, on);
      const { answeredUs, sent } = await load.run({ perSecond, seconds }, arrived);
      const used = await usedBy(sent);
      return { latenciesUs: await worker.ask<number[]>("take"), answeredUs, used };
    } finally {
      await load.stop();
    }
  } finally {
    await worker.stop();
    await running.stop();
  }
}

function measuresOf({ name: system, setting }: System, rate: number, results: Round[]): Measure[] {
  const of = (measure: string, unit: string, figure: (round: Round) => number) =>
    measureOf({ measure, system, setting, unit }, results.map(figure));
  const at = `at ${rate.toLocaleString("en-US")}/s`;
  return [
    ...SHARES.map((share) =>
      of(`latency p${share * 100} ${at}`, "ms", (round) => percentile(round.latenciesUs, share) / 1e3),
    ),
    of(`latency ${at}: dispatch call p50`, "ms", (round) => percentile(round.answeredUs, 0.5) / 1e3),
    ...usedMeasures(
      `latency ${at}`,
      { system, setting },
      results.map(({ used }) => used),
    ),
  ];
}
