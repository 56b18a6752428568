/** drain, enqueue and flow: how many jobs a second go through. */
import { type Measure, measureOf } from "../harness/figures.ts";
import { usedMeasures } from "../harness/used.ts";
import { titleOf } from "../systems/system.ts";
import { contendersOf } from "./best-setting.ts";
import { measureCeiling } from "./ceiling.ts";
import { inTurn } from "./in-turn.ts";
import type { BenchContext, BenchMeasure } from "./measure.ts";
import { type Order, runThrough, type Through } from "./run-through.ts";

const JOBS = { quick: 10_000, whole: 40_000 };
const WARM_UP = { quick: 1_000, whole: 4_000 };

export const drain: BenchMeasure = {
  name: "drain",
  also: ["enqueue", "ceiling"],
  about: "jobs a second from a preloaded backlog, from the first claim until every result is durable",
  run: (context) => measureAll(context, "preloaded"),
};

export const flow: BenchMeasure = {
  name: "flow",
  about: "jobs a second while they are dispatched, worked on and reported at the same time",
  run: (context) => measureAll(context, "beside"),
};

async function measureAll(context: BenchContext, order: Order): Promise<Measure[]> {
  const name = order === "preloaded" ? "drain" : "flow";
  const jobs = context.quick ? JOBS.quick : JOBS.whole;
  const warmUp = context.quick ? WARM_UP.quick : WARM_UP.whole;
  const contenders = await contendersOf(context, order);
  const results = await inTurn(
    context,
    name,
    contenders,
    ({ system }) => titleOf(system),
    ({ system, concurrency }) => runThrough(context.ground, system, { jobs, warmUp, order, concurrency }),
  );
  const ceiling = order === "preloaded" ? await measureCeiling(context) : [];
  return [...contenders.flatMap(({ system }, at) => measuresOf(name, system, results[at] ?? [])), ...ceiling];
}

function measuresOf(
  name: "drain" | "flow",
  { name: system, setting }: { name: string; setting: string },
  results: Through[],
): Measure[] {
  const of = (measure: string, unit: string, figure: (result: Through) => number) =>
    measureOf({ measure, system, setting, unit }, results.map(figure));
  return [
    of(name, "jobs/s", ({ done }) => done),
    ...(name === "drain" ? [of("enqueue", "jobs/s", ({ enqueued }) => enqueued)] : []),
    ...usedMeasures(
      name,
      { system, setting },
      results.map(({ used }) => used),
    ),
    ...usedMeasures(
      "enqueue",
      { system, setting },
      results.flatMap(({ usedToStore }) => usedToStore ?? []),
    ),
  ];
}
