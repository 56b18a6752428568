/**
 * held snapshot: whether a drain keeps its pace while a transaction is left open. What dies behind its back stays in the
 * tables and in front of their indexes, so that each claim may have to pass over all jobs that went before.
 */
import type { BrokerTarget } from "../clients/ai-job-broker.ts";
import { type Claims, claimMs, claimsSoFar } from "../harness/claims-so-far.ts";
import { nowUs } from "../harness/clock.ts";
import { type Measure, measureOf } from "../harness/figures.ts";
import { holdSnapshot } from "../harness/hold-snapshot.ts";
import { opened } from "../harness/load.ts";
import { until } from "../harness/until.ts";
import { type Used, usedMeasures, watchUse } from "../harness/used.ts";
import { type System, titleOf } from "../systems/system.ts";
import { BOSS, type Contender, GRAPHILE, OURS } from "../systems/throughput-systems.ts";
import { bestOf } from "./best-setting.ts";
import { inTurn } from "./in-turn.ts";
import type { BenchContext, BenchMeasure } from "./measure.ts";
import { type Processes, produceAll, withProcesses } from "./run-through.ts";

const NAME = "held snapshot";
const JOBS = { quick: 30_000, whole: 500_000 };
/** Whoever becomes too slow is measured by the jobs that went through. */
const AT_MOST_MS = { quick: 30_000, whole: 300_000 };
const TENTHS = 10;

/** When the first job began, or the last one of a tenth. */
interface Mark {
  atUs: number;
  jobs: number;
  claims: Claims;
}

interface Round {
  perSecond: number;
  passed: number;
  marks: Mark[];
  used: Used<"server" | "worker">;
}

export const heldSnapshot: BenchMeasure = {
  name: NAME,
  about: "jobs a second from a preloaded backlog while a transaction is left open, whole and by tenths of the jobs",
  async run(context: BenchContext): Promise<Measure[]> {
    // There is no snapshot in Redis to be held.
    const peers = async () => [await bestOf(context, GRAPHILE, "preloaded"), await bestOf(context, BOSS, "preloaded")];
    const contenders = context.quick || context.alone ? [OURS] : [OURS, ...(await peers())];
    const results = await inTurn(
      context,
      NAME,
      contenders,
      ({ system }) => titleOf(system),
      (contender) => passWhileHeld(context, contender),
    );
    return contenders.flatMap(({ system }, at) => measuresOf(system, results[at] ?? []));
  },
};

function passWhileHeld({ ground, quick }: BenchContext, { system, concurrency }: Contender): Promise<Round> {
  const size = quick ? "quick" : "whole";
  return withProcesses(ground, system, async (processes) => {
    const { running, producer, worker } = processes;
    const { tables } = running;
    if (tables === undefined) throw new Error(`${system.name} has no tables whose snapshot could be held`);
    await produceAll(producer, JOBS[size]);
    const letGo = await holdSnapshot(tables.databaseUrl);
    const usedBy = await watchUse({ server: running.serverPid, worker: worker.pid }, ground);
    const passing = markTenths(processes, concurrency, size).then(async (marked) => ({
      ...marked,
      used: await usedBy(marked.passed),
    }));
    const { tookUs, ...round } = await passing.finally(letGo);
    await worker.stop();
    // The next round should meet neither jobs nor dead rows of this one.
    await tables.clear();
    return { perSecond: (round.passed * 1e6) / tookUs, ...round };
  });
}

/** From the first handler to the last durable end, or to the end of the time. */
async function markTenths(
  { running, worker, name }: Processes,
  concurrency: number,
  size: keyof typeof JOBS,
): Promise<Pick<Round, "marks" | "passed"> & { tookUs: number }> {
  const { target, isEmpty } = running;
  const jobs = JOBS[size];
  const claims = async () =>
    name === "ai-job-broker" ? await claimsSoFar((target as BrokerTarget).url) : { count: 0, seconds: 0 };
  const before = await claims();
  const endAtUs = nowUs() + AT_MOST_MS[size] * 1e3;
  await opened(worker, { client: name, target, concurrency });
  const marks: Mark[] = [];
  let passed = 0;
  const isOver = async () => {
    passed = await worker.ask<number>("count");
    const atUs = nowUs();
    const isLate = atUs > endAtUs;
    const tenth = marks.length + 1;
    const isFull = tenth <= TENTHS && passed >= (tenth * jobs) / TENTHS;
    if (isFull || (isLate && passed < jobs)) marks.push({ atUs, jobs: passed, claims: await claims() });
    return isLate || (passed >= jobs && (await isEmpty()));
  };
  await until(isOver, AT_MOST_MS[size] * 2, () => `${name} did not answer`);
  const endedUs = nowUs();
  const firstUs = await worker.ask<number>("firstUs");
  return { marks: [{ atUs: firstUs, jobs: 0, claims: before }, ...marks], passed, tookUs: endedUs - firstUs };
}

function measuresOf({ name: system, setting }: System, rounds: Round[]): Measure[] {
  const about = { system, setting };
  const of = (measure: string, unit: string, figure: (round: Round) => number) =>
    measureOf({ ...about, measure: `${NAME}${measure}`, unit }, rounds.map(figure));
  return [
    of("", "jobs/s", ({ perSecond }) => perSecond),
    of(": jobs passed", "jobs", ({ passed }) => passed),
    of(": last tenth against first tenth", "ratio", ({ marks }) => paceOf(marks, marks.length - 1) / paceOf(marks, 1)),
    ...Array.from({ length: TENTHS }, (_, at) => tenthOf(about, rounds, at + 1)).flat(),
    ...usedMeasures(
      NAME,
      about,
      rounds.map(({ used }) => used),
    ),
  ];
}

function tenthOf({ system, setting }: { system: string; setting: string }, rounds: Round[], tenth: number): Measure[] {
  const about = { system, setting: `${setting}, tenth ${tenth}` };
  const claim = measureOf(
    { ...about, measure: `${NAME}: a claim, mean`, unit: "ms" },
    rounds.map(({ marks }) => between(marks, tenth, (from, to) => claimMs(from.claims, to.claims))),
  );
  return [
    measureOf(
      { ...about, measure: `${NAME}: pace`, unit: "jobs/s" },
      rounds.map(({ marks }) => paceOf(marks, tenth)),
    ),
    ...(claim.value === null ? [] : [claim]),
  ];
}

function paceOf(marks: Mark[], tenth: number): number {
  return between(marks, tenth, (from, to) => ((to.jobs - from.jobs) * 1e6) / (to.atUs - from.atUs));
}

/** NaN for a tenth that was not begun. */
function between(marks: Mark[], tenth: number, figure: (from: Mark, to: Mark) => number): number {
  const [from, to] = [marks[tenth - 1], marks[tenth]];
  return from === undefined || to === undefined ? Number.NaN : figure(from, to);
}
