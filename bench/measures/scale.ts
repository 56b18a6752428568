/** scale: what more brokers on one database, and more workers on one broker, make of a drain. */
import { join } from "node:path";
import { openPool, type Sql } from "../../src/store/db.ts";
import { notify } from "../../src/store/notify.ts";
import { clear, fill } from "../backlog.ts";
import { type BrokerProcess, startBroker, WORKER_TOKEN } from "../harness/broker.ts";
import { startChild } from "../harness/child.ts";
import { nowUs } from "../harness/clock.ts";
import { dueJobs } from "../harness/due-jobs.ts";
import { type Measure, measureOf } from "../harness/figures.ts";
import { startFleet } from "../harness/fleet-processes.ts";
import { opened } from "../harness/load.ts";
import { until } from "../harness/until.ts";
import { type Used, usedMeasures, watchUse } from "../harness/used.ts";
import { brokerDatabase } from "../systems/ai-job-broker.ts";
import { inTurn } from "./in-turn.ts";
import type { BenchContext, BenchMeasure } from "./measure.ts";

const JOBS = { quick: 4_000, whole: 40_000 };
/** Jobs at a time, over all workers: what differs is only how many share them. */
const SEATS = 1_000;
/** Before the clock starts: processes that have just come up compile more than they work. */
const WARM_UP = 2_000;
const SDK_WORKERS = 4;
const FLEET_PROCESSES = 2;
const CONNECT_WITHIN_MS = 60_000;
const DRAIN_WITHIN_MS = 300_000;

interface Crew {
  pids: number[];
  /** Streams that it has. */
  workers: number;
  /** Jobs that were begun. */
  count(): Promise<number>;
  stop(): Promise<void>;
}

interface Case {
  setting: string;
  brokers: number;
  hire(brokers: BrokerProcess[]): Promise<Crew>;
}

interface Round {
  perSecond: number;
  used: Used<"server" | "worker">;
}

const CASES: Case[] = [
  ...[1, 2, 4].map((brokers) => ({
    setting: `${brokers} broker${brokers === 1 ? "" : "s"}, ${SDK_WORKERS} SDK workers of ${SEATS / SDK_WORKERS} seats`,
    brokers,
    hire: hireSdk,
  })),
  ...[10, 100, 1_000].map((workers) => ({
    setting: `1 broker, ${workers.toLocaleString("en-US")} workers of ${SEATS / workers} ${workers === SEATS ? "seat" : "seats"}`,
    brokers: 1,
    hire: ([broker]: BrokerProcess[]) => hireFleet(broker as BrokerProcess, workers),
  })),
];

export const scale: BenchMeasure = {
  name: "scale",
  about: "jobs a second of a drain by 1, 2, 4 brokers, and by 10, 100, 1,000 workers, all together 1,000 at a time",
  async run(context: BenchContext): Promise<Measure[]> {
    const { ground, quick } = context;
    const databaseUrl = await brokerDatabase(ground);
    const sql = openPool({ url: databaseUrl, statementTimeoutMs: 60_000, lockTimeoutMs: 5_000 }, 1);
    const jobs = quick ? JOBS.quick : JOBS.whole;
    try {
      const results = await inTurn(
        context,
        "scale",
        CASES,
        ({ setting }) => setting,
        (one) => drainBy(context, { databaseUrl, sql, jobs }, one),
      );
      return CASES.flatMap(({ setting }, at) => measuresOf(setting, results[at] ?? []));
    } finally {
      await sql.end();
    }
  },
};

interface Queue {
  databaseUrl: string;
  sql: Sql;
  jobs: number;
}

/** Jobs come when all workers are connected: else the first ones drain alone while the others begin. */
async function drainBy({ ground }: BenchContext, { databaseUrl, sql, jobs }: Queue, one: Case): Promise<Round> {
  await clear(sql);
  const start = () => startBroker({ databaseUrl, folder: ground.folder });
  const brokers = await Promise.all(Array.from({ length: one.brokers }, start));
  let crew: Crew | undefined;
  try {
    crew = await one.hire(brokers);
    await untilConnected(sql, crew.workers);
    await store(sql, WARM_UP);
    await drainAll(sql, crew, WARM_UP);
    await store(sql, jobs);
    const usedBy = await watchUse({ server: brokers.map(({ pid }) => pid), worker: crew.pids }, ground);
    const tookUs = await drainAll(sql, crew, WARM_UP + jobs);
    return { perSecond: jobs / (tookUs / 1e6), used: await usedBy(jobs) };
  } finally {
    await crew?.stop();
    await Promise.all(brokers.map((broker) => broker.end("SIGTERM")));
  }
}

/** No broker hears of it. */
function store(sql: Sql, rows: number): Promise<void> {
  return fill(sql, dueJobs(rows));
}

/** Tells of the jobs that are stored; resolves with the µs until `begun` were begun in all, and all had ended. */
async function drainAll(sql: Sql, crew: Crew, begun: number): Promise<number> {
  const beganUs = nowUs();
  // As another broker would tell that it has stored them.
  await notify(sql, "ai_ready", "bench");
  await untilDone(sql, crew, begun);
  return nowUs() - beganUs;
}

async function untilConnected(sql: Sql, workers: number): Promise<void> {
  let open = 0;
  const areConnected = async () => {
    const [row] = await sql<{ open: number }[]>`SELECT count(*)::int AS open FROM ai_session WHERE ended_at IS NULL`;
    open = row?.open ?? 0;
    return open >= workers;
  };
  await until(areConnected, CONNECT_WITHIN_MS, () => `${open} of ${workers} workers were connected`);
}

async function untilDone(sql: Sql, crew: Crew, begun: number): Promise<void> {
  const isDone = async () => {
    if ((await crew.count()) < begun) return false;
    const [row] = await sql<{ done: boolean }[]>`SELECT NOT EXISTS (SELECT FROM ai_lease) AS done`;
    return row?.done === true;
  };
  await until(isDone, DRAIN_WITHIN_MS, () => `${begun} jobs were not done`);
}

/** Each a process of its own; the brokers get as many of them. */
async function hireSdk(brokers: BrokerProcess[]): Promise<Crew> {
  const workers = Array.from({ length: SDK_WORKERS }, () =>
    startChild(join(import.meta.dirname, "../harness/work.ts")),
  );
  const askAll = (question: string) => Promise.all(workers.map((worker) => worker.ask<number>(question)));
  const stop = async () => void (await Promise.all(workers.map((worker) => worker.stop())));
  const open = (at: number) => {
    const target = { url: brokers[at % brokers.length]?.url, via: "grpc-js" };
    return { client: "ai-job-broker", target, concurrency: SEATS / SDK_WORKERS };
  };
  await Promise.all(workers.map((worker, at) => opened(worker, open(at)))).catch(async (error) => {
    await stop();
    throw error;
  });
  return {
    pids: workers.map(({ pid }) => pid),
    workers: SDK_WORKERS,
    count: async () => (await askAll("count")).reduce((sum, count) => sum + count, 0),
    stop,
  };
}

/** Bare streams, a connection each: thousands of SDKs would need more than this machine has. */
async function hireFleet({ url }: BrokerProcess, workers: number): Promise<Crew> {
  const options = { url, token: WORKER_TOKEN, workers, perConnection: 1, maxInFlight: SEATS / workers, holds: false };
  const fleet = await startFleet(options, FLEET_PROCESSES);
  return {
    pids: fleet.pids,
    workers,
    count: fleet.count,
    stop: fleet.stop,
  };
}

function measuresOf(setting: string, rounds: Round[]): Measure[] {
  const about = { system: "ai-job-broker", setting };
  return [
    measureOf(
      { ...about, measure: "scale", unit: "jobs/s" },
      rounds.map(({ perSecond }) => perSecond),
    ),
    ...usedMeasures(
      "scale",
      about,
      rounds.map(({ used }) => used),
    ),
  ];
}
