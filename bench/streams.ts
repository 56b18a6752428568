/**
 * What do a thousand connected workers cost? `npm run bench:streams`
 *   -- --workers 10,1000     fleets to compare; the first one is what the others are measured against
 *   -- --per-connection 100,1  streams that share a connection
 *   -- --in-flight 1         jobs that each worker takes at a time
 *   -- --seconds 20          of each look at an idle broker and of each load; --rounds 3
 *   -- --quick               one round of 3 s each, to try it out
 *   -- --profile FOLDER      CPU profiles of the broker
 *   -- --json FILE           the figures for a machine, too
 *
 * One broker with its default settings for each fleet and round, streams by bare HTTP/2 from two other processes, each
 * worker with an instance of its own. First nothing happens for a while, then 100 jobs a second are dispatched.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type BrokerProcess, startBroker, WORKER_TOKEN } from "./harness/broker.ts";
import { type Measure, markdown, measureOf, percentile, shown, writeMeasures } from "./harness/figures.ts";
import { type FleetProcesses, startFleet } from "./harness/fleet-processes.ts";
import { openGround, type Statement, statementsSince } from "./harness/ground.ts";
import { liveMib } from "./harness/live-memory.ts";
import { startLoad } from "./harness/load.ts";
import { readOptions, wholeFrom } from "./harness/options.ts";
import { treeCpuSeconds, usageOf } from "./harness/usage.ts";
import { BROKER_DATABASE, brokerDatabase } from "./systems/ai-job-broker.ts";

const values = readOptions(import.meta.filename, {
  workers: { type: "string", default: "10,1000" },
  "per-connection": { type: "string", default: "100,1" },
  "in-flight": { type: "string", default: "1" },
  seconds: { type: "string" },
  rounds: { type: "string" },
  quick: { type: "boolean", default: false },
  profile: { type: "string" },
  json: { type: "string" },
});
const seconds = wholeFrom(1, "--seconds", values.seconds ?? (values.quick ? "3" : "20"));
const rounds = wholeFrom(1, "--rounds", values.rounds ?? (values.quick ? "1" : "3"));
const maxInFlight = wholeFrom(1, "--in-flight", values["in-flight"]);
const PROCESSES = 2;
const JOBS_PER_SECOND = 100;
const SETTLE_MS = 5_000;
const CONNECT_WITHIN_MS = 60_000;

interface Setting {
  workers: number;
  perConnection: number;
}

interface Memory {
  rssMib: number;
  /** After a full collection. */
  liveMib: number;
}

interface Look {
  /** Of a broker of the same round without a stream. */
  empty: Memory;
  idle: Memory;
  /** In percent of a core. */
  brokerCpu: number;
  postgresCpu: number;
  queries: number;
  loadedBrokerCpu: number;
  loadedPostgresCpu: number;
  latenciesUs: number[];
}

const settings = list(values.workers).flatMap((workers) => {
  const ways = list(values["per-connection"]);
  // Few workers fit on one connection, and need no second way to connect.
  return (workers > 100 ? ways : ways.slice(0, 1)).map((perConnection): Setting => ({ workers, perConnection }));
});
const ground = await openGround({ countsStatements: true });
try {
  const looks = new Map<Setting, Look[]>(settings.map((setting) => [setting, []]));
  for (let round = 1; round <= rounds; round++) {
    const empty = await withBroker((broker) => memoryOf(broker));
    for (const setting of settings) {
      console.error(`round ${round} of ${rounds}: ${nameOf(setting)} …`);
      looks.get(setting)?.push({ empty, ...(await withBroker((broker) => lookAt(broker, setting))) });
    }
  }
  const measures = settings.map((setting) => measuresOf(setting, looks.get(setting) ?? []));
  console.log(`\n${ground.machine}\n\n${tableOf(measures)}\n\n${notes()}`);
  if (values.json !== undefined) writeMeasures(values.json, ground.machine, measures.flat());
} finally {
  await ground.close();
}

async function withBroker<T>(look: (broker: BrokerProcess) => Promise<T>): Promise<T> {
  const databaseUrl = await brokerDatabase(ground);
  const broker = await startBroker({
    databaseUrl,
    folder: ground.folder,
    inspect: true,
    profileTo: values.profile,
  });
  try {
    await sleep(SETTLE_MS);
    return await look(broker);
  } finally {
    await broker.end("SIGTERM");
  }
}

async function lookAt(broker: BrokerProcess, { workers, perConnection }: Setting): Promise<Omit<Look, "empty">> {
  const fleet = await startFleet(
    { url: broker.url, token: WORKER_TOKEN, workers, perConnection, maxInFlight, holds: false },
    PROCESSES,
  );
  try {
    await fleet.until("welcomed", CONNECT_WITHIN_MS);
    await sleep(SETTLE_MS);
    const used = await lookWhile(broker, async () => void (await sleep(seconds * 1_000)));
    const idle = await memoryOf(broker);
    const { brokerCpu: loadedBrokerCpu, postgresCpu: loadedPostgresCpu, latenciesUs } = await dispatchTo(broker, fleet);
    return { idle, ...used, loadedBrokerCpu, loadedPostgresCpu, latenciesUs };
  } finally {
    await fleet.stop();
  }
}

/** RSS first: the collection changes it. */
async function memoryOf({ pid, logFile }: BrokerProcess): Promise<Memory> {
  const { rssMib } = usageOf(pid);
  return { rssMib, liveMib: await liveMib(logFile) };
}

async function dispatchTo(broker: BrokerProcess, fleet: FleetProcesses) {
  const load = await startLoad({ client: "ai-job-broker", target: { url: broker.url, via: "grpc-js" } });
  try {
    const pace = { perSecond: JOBS_PER_SECOND, seconds };
    await load.run({ ...pace, seconds: Math.min(5, seconds) }, fleet.count);
    await fleet.take();
    const looked = await lookWhile(broker, async () => void (await load.run(pace, fleet.count)));
    return { ...looked, latenciesUs: await fleet.take() };
  } finally {
    await load.stop();
  }
}

/** CPU and queries while something goes on. */
async function lookWhile(broker: BrokerProcess, goOn: () => Promise<void>) {
  const statements = await ground.statements(BROKER_DATABASE);
  const before = { broker: usageOf(broker.pid).cpuSeconds, postgres: treeCpuSeconds(ground.postgresPid) };
  const startedAt = performance.now();
  await goOn();
  const passed = (performance.now() - startedAt) / 1_000;
  const brokerCpu = (100 * (usageOf(broker.pid).cpuSeconds - before.broker)) / passed;
  const postgresCpu = (100 * (treeCpuSeconds(ground.postgresPid) - before.postgres)) / passed;
  const ran = statementsSince(statements, await ground.statements(BROKER_DATABASE));
  explain(ran, passed);
  const queries = ran.reduce((sum, { calls }) => sum + calls, 0) / passed;
  return { brokerCpu, postgresCpu, queries };
}

/** What the broker asked Postgres for, for whoever wonders about a figure. */
function explain(statements: Statement[], passed: number): void {
  for (const { query, calls, totalMs } of statements.slice(0, 8)) {
    const text = query.replaceAll(/\s+/g, " ").slice(0, 80);
    console.error(`  ${(calls / passed).toFixed(2)}/s, ${(totalMs / calls).toFixed(2)} ms each: ${text}`);
  }
}

function measuresOf(setting: Setting, looks: Look[]): Measure[] {
  const about = { system: "ai-job-broker", setting: nameOf(setting) };
  const of = (measure: string, unit: string, figure: (look: Look) => number) =>
    measureOf({ ...about, measure, unit }, looks.map(figure));
  // Ten streams are lost in what a process does by itself.
  const perStream = (mib: number) => (setting.workers < 100 ? Number.NaN : (mib * 1_024) / setting.workers);
  return [
    of("broker RSS without a stream", "MiB", ({ empty }) => empty.rssMib),
    of("broker RSS, idle", "MiB", ({ idle }) => idle.rssMib),
    of("RSS per idle stream", "KiB", ({ empty, idle }) => perStream(idle.rssMib - empty.rssMib)),
    of("live memory per idle stream", "KiB", ({ empty, idle }) => perStream(idle.liveMib - empty.liveMib)),
    of("idle broker CPU", "% of a core", (look) => look.brokerCpu),
    of("idle Postgres CPU", "% of a core", (look) => look.postgresCpu),
    of("idle queries", "1/s", (look) => look.queries),
    of(`latency p50 at ${JOBS_PER_SECOND} jobs/s`, "ms", (look) => percentile(look.latenciesUs, 0.5) / 1_000),
    of(`latency p99 at ${JOBS_PER_SECOND} jobs/s`, "ms", (look) => percentile(look.latenciesUs, 0.99) / 1_000),
    of(`broker CPU at ${JOBS_PER_SECOND} jobs/s`, "% of a core", (look) => look.loadedBrokerCpu),
    of(`Postgres CPU at ${JOBS_PER_SECOND} jobs/s`, "% of a core", (look) => look.loadedPostgresCpu),
  ];
}

function nameOf({ workers, perConnection }: Setting): string {
  const streams = `${workers.toLocaleString("en-US")} streams`;
  return perConnection === 1 ? `${streams}, a connection each` : `${streams}, ${perConnection} on a connection`;
}

function tableOf(measures: Measure[][]): string {
  const head = ["measure", ...settings.map(nameOf)];
  const rows = (measures[0] ?? []).map(({ measure, unit }, row) => [
    `${measure}, ${unit}`,
    ...measures.map((column) => shown(column[row] as Measure)),
  ]);
  return markdown(head, rows);
}

function notes(): string {
  return [
    `The median of ${rounds} rounds (least–greatest), each with a broker of its own; idle and load take ${seconds} s each.`,
    `Workers take ${maxInFlight} at a time and are bare HTTP/2 streams in ${PROCESSES} processes; they answer pings and send none.`,
    "Live memory is the heap and what hangs on it, after a full collection; RSS is as Linux counts it.",
    "Latency is from before the call that dispatches to the arrival at the worker. Postgres commits to disk.",
  ].join("\n");
}

function list(text: string): number[] {
  return text.split(",").map((part) => {
    if (!/^[1-9]\d{0,4}$/.test(part)) throw new Error(`${part} is no whole number from 1 to 99999`);
    return Number(part);
  });
}
