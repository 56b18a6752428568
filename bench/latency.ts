/**
 * How long from the call that dispatches a job to the start of its handler? `npm run bench:latency`
 *   -- --rate 100,1000    jobs a second, one or several (default: 100)
 *   -- --seconds 20       of each round; --rounds 3
 *   -- --only TEXT        systems whose name or setting has this in it
 *   -- --quick            one round of 3 s each, to try it out
 *   -- --profile FOLDER   CPU profiles of our broker
 *   -- --json FILE        the figures for a machine, too
 *
 * An idle queue, one producer process, one worker process that takes ten jobs at a time and does nothing. Every system
 * in turn, round after round, each with nothing else running. graphile-worker runs on the same durable Postgres.
 */

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startChild } from "./harness/child.ts";
import { type Measure, markdown, measureOf, percentile, shown, writeMeasures } from "./harness/figures.ts";
import { type Ground, openGround } from "./harness/ground.ts";
import { opened, startLoad } from "./harness/load.ts";
import { treeCpuSeconds, usageOf } from "./harness/usage.ts";
import { latencySystems } from "./latency-systems.ts";
import type { System } from "./systems/system.ts";

const { values } = parseArgs({
  options: {
    rate: { type: "string", default: "100" },
    seconds: { type: "string" },
    rounds: { type: "string" },
    only: { type: "string", default: "" },
    quick: { type: "boolean", default: false },
    profile: { type: "string" },
    json: { type: "string" },
  },
});
const rates = values.rate.split(",").map((text) => whole("--rate", text));
const seconds = whole("--seconds", values.seconds ?? (values.quick ? "3" : "20"));
const rounds = whole("--rounds", values.rounds ?? (values.quick ? "1" : "3"));
const warmUpSeconds = Math.min(5, seconds);
const CONCURRENCY = 10;
const SHARES = [0.5, 0.95, 0.99];

interface Round {
  latenciesUs: number[];
  answeredUs: number[];
  /** CPU that a job takes, in µs. */
  producerUs: number;
  serverUs: number;
  workerUs: number;
  postgresUs: number;
}

const systems = latencySystems(values.profile).filter(({ name, setting }) =>
  `${name} ${setting}`.includes(values.only),
);
const ground = await openGround();
try {
  const measures: Measure[] = [];
  const tables: string[] = [];
  for (const rate of rates) {
    const results = await measureAll(rate);
    const measured = systems.map((system) => measuresOf(system, rate, results.get(system) ?? []));
    measures.push(...measured.flat());
    tables.push(tableOf(rate, measured));
  }
  console.log(`\n${ground.machine}\n\n${tables.join("\n\n")}\n\n${notes()}`);
  if (values.json !== undefined) writeMeasures(values.json, ground.machine, measures);
} finally {
  await ground.close();
}

async function measureAll(rate: number): Promise<Map<System, Round[]>> {
  const results = new Map<System, Round[]>(systems.map((system) => [system, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const system of systems) {
      if (system.missing !== undefined) continue;
      console.error(`${rate}/s, round ${round} of ${rounds}: ${system.name}, ${system.setting} …`);
      results.get(system)?.push(await measureRound(ground, system, rate));
    }
  }
  return results;
}

async function measureRound(on: Ground, system: System, perSecond: number): Promise<Round> {
  const running = await system.start(on);
  const worker = startChild(join(import.meta.dirname, "harness/work.ts"));
  try {
    const { target } = running;
    await opened(worker, { client: system.name, target, concurrency: CONCURRENCY });
    const load = await startLoad({ client: system.name, target });
    try {
      const arrived = () => worker.ask<number>("count");
      await load.run({ perSecond, seconds: warmUpSeconds }, arrived);
      await worker.ask("take");
      await sleep(500);
      const pids = { producer: load.pid, server: running.serverPid, worker: worker.pid };
      const before = cpuOf(on, pids);
      const { answeredUs, sent } = await load.run({ perSecond, seconds }, arrived);
      const after = cpuOf(on, pids);
      const aJob = (who: keyof typeof after) => ((after[who] - before[who]) * 1e6) / sent;
      return {
        latenciesUs: await worker.ask<number[]>("take"),
        answeredUs,
        producerUs: aJob("producer"),
        serverUs: aJob("server"),
        workerUs: aJob("worker"),
        postgresUs: aJob("postgres"),
      };
    } finally {
      await load.stop();
    }
  } finally {
    await worker.stop();
    await running.stop();
  }
}

/** CPU seconds so far; NaN where there is no such process. */
function cpuOf(
  on: Ground,
  { producer, server, worker }: { producer: number; server: number | undefined; worker: number },
) {
  const of = (pid: number | undefined) => (pid === undefined ? Number.NaN : usageOf(pid).cpuSeconds);
  const postgres = treeCpuSeconds(on.postgresPid);
  return { producer: of(producer), server: of(server), worker: of(worker), postgres };
}

function measuresOf({ name, setting }: System, rate: number, results: Round[]): Measure[] {
  const about = { system: name, setting: `${setting}; ${rate} jobs/s` };
  const of = (measure: string, unit: string, figure: (round: Round) => number) =>
    measureOf({ ...about, measure, unit }, results.map(figure));
  return [
    ...SHARES.map((share) =>
      of(`latency p${share * 100}`, "ms", (round) => percentile(round.latenciesUs, share) / 1e3),
    ),
    of("dispatch call p50", "ms", (round) => percentile(round.answeredUs, 0.5) / 1e3),
    of("CPU per job, producer", "µs", (round) => round.producerUs),
    of("CPU per job, server", "µs", (round) => round.serverUs),
    of("CPU per job, worker", "µs", (round) => round.workerUs),
    of("CPU per job, Postgres", "µs", (round) => round.postgresUs),
  ];
}

function tableOf(rate: number, measured: Measure[][]): string {
  const times = ["p50, ms", "p95", "p99", "dispatch call p50"];
  const head = [
    "system",
    `dispatch → handler start at ${rate} jobs/s: ${times[0]}`,
    ...times.slice(1),
    "CPU µs a job: producer",
    "server",
    "worker",
    "Postgres",
  ];
  const rows = systems.map(({ name, setting, missing }, at) => {
    const cells = (measured[at] ?? []).map((measure) => (measure.unit === "ms" ? shown(measure) : middle(measure)));
    const isMissing = missing !== undefined;
    return [`${name}: ${setting}`, ...(isMissing ? [missing, ...Array(cells.length - 1).fill("–")] : cells)];
  });
  return markdown(head, rows);
}

function middle({ value }: Measure): string {
  return value === null ? "–" : Math.round(value).toLocaleString("en-US");
}

function notes(): string {
  return [
    `The median of ${rounds} rounds of ${seconds} s (least–greatest), systems in turn, after ${warmUpSeconds} s of warm-up.`,
    "The time is taken before the call that dispatches and as the first thing in the handler, in two processes, by the",
    "machine's monotonic clock (process.hrtime). Postgres commits to disk (fsync, synchronous_commit on), for us and for",
    "graphile-worker, which has no server of its own; our broker logs each move at its default level, the others log",
    "nothing.",
  ].join("\n");
}

function whole(name: string, text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new Error(`${name} takes whole numbers from 1`);
  return Number(text);
}
