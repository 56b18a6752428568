/**
 * How long until a whole fleet is served again after its broker restarts? `npm run bench:reconnect`
 *   -- --workers 5000         the fleet
 *   -- --per-connection 100   streams that share a connection
 *   -- --signal SIGKILL,SIGTERM  how the broker ends, one or several
 *   -- --busy                 each worker holds a job all the time and brings its lease along; a broker that ends by
 *                             SIGTERM waits for such jobs as long as it may
 *   -- --rounds 3
 *   -- --quick                one round with 500 workers, to try it out
 *   -- --profile FOLDER       CPU profiles of the brokers that end by SIGTERM
 *   -- --json FILE            the figures for a machine, too
 *
 * Each round ends the broker, starts it again on the same port and puts one job a worker into the queue meanwhile. A
 * worker is served when it has had its Welcome and a job, which it keeps until all are served, so nobody gets two.
 */
import { openPool, type Sql } from "../src/store/db.ts";
import { fill } from "./backlog.ts";
import { JOB_TYPE } from "./clients/client.ts";
import { type BrokerOptions, type BrokerProcess, startBroker, WORKER_TOKEN } from "./harness/broker.ts";
import { nowUs } from "./harness/clock.ts";
import { type Measure, markdown, measureOf, percentile, shown, writeMeasures } from "./harness/figures.ts";
import { type FleetProcesses, startFleet } from "./harness/fleet-processes.ts";
import { openGround } from "./harness/ground.ts";
import { readOptions, wholeFrom } from "./harness/options.ts";
import { until } from "./harness/until.ts";
import { usageOf } from "./harness/usage.ts";
import { brokerDatabase } from "./systems/ai-job-broker.ts";

const values = readOptions(import.meta.filename, {
  workers: { type: "string" },
  "per-connection": { type: "string", default: "100" },
  signal: { type: "string", default: "SIGKILL,SIGTERM" },
  busy: { type: "boolean", default: false },
  rounds: { type: "string" },
  quick: { type: "boolean", default: false },
  profile: { type: "string" },
  json: { type: "string" },
});
const workers = wholeFrom(1, "--workers", values.workers ?? (values.quick ? "500" : "5000"));
const perConnection = wholeFrom(1, "--per-connection", values["per-connection"]);
const rounds = wholeFrom(1, "--rounds", values.rounds ?? (values.quick ? "1" : "3"));
const signals = values.signal.split(",") as ("SIGKILL" | "SIGTERM")[];
const PROCESSES = 4;
const WITHIN_MS = 180_000;

interface Restart {
  /** From the signal to the end of the old process, and to the address of the new one; in ms. */
  endedMs: number;
  listeningMs: number;
  /** From the signal, for each worker. */
  welcomedMs: number[];
  servedMs: number[];
  peakMib: number;
  /** Of the new broker until all were served. */
  cpuSeconds: number;
  /** How streams ended, beside the end of the broker itself. */
  ends: Record<string, number>;
}

const ground = await openGround();
try {
  const databaseUrl = await brokerDatabase(ground);
  const sql = openPool({ url: databaseUrl, statementTimeoutMs: 60_000, lockTimeoutMs: 60_000 }, 1);
  try {
    await run({ databaseUrl, folder: ground.folder, profileTo: values.profile }, sql);
  } finally {
    await sql.end();
  }
} finally {
  await ground.close();
}

async function run(options: BrokerOptions, sql: Sql): Promise<void> {
  let broker = await startBroker(options);
  const { url, port } = broker;
  const maxInFlight = values.busy ? 2 : 1;
  const fleet = await startFleet(
    { url, token: WORKER_TOKEN, workers, perConnection, maxInFlight, holds: true },
    PROCESSES,
  );
  const restarts = new Map<string, Restart[]>(signals.map((signal) => [signal, []]));
  try {
    await fleet.until("welcomed", WITHIN_MS);
    if (values.busy) await serveAll(fleet, sql);
    for (let round = 1; round <= rounds; round++) {
      for (const signal of signals) {
        console.error(`round ${round} of ${rounds}: ${signal} …`);
        const [next, restart] = await restartBroker(broker, fleet, sql, { ...options, port }, signal);
        broker = next;
        restarts.get(signal)?.push(restart);
        console.error(`  streams ended so: ${JSON.stringify(restart.ends)}`);
        await settleAll(fleet, sql);
        if (values.busy) await serveAll(fleet, sql);
      }
    }
  } finally {
    await fleet.stop();
    await broker.end("SIGTERM");
  }
  handOver(restarts, fleet.connections);
}

async function restartBroker(
  broker: BrokerProcess,
  fleet: FleetProcesses,
  sql: Sql,
  options: BrokerOptions,
  signal: "SIGKILL" | "SIGTERM",
): Promise<[BrokerProcess, Restart]> {
  await fleet.mark();
  const startUs = nowUs();
  await broker.end(signal);
  const endedUs = nowUs();
  // Written while the new broker starts, and found by its look at the queue.
  const [next] = await Promise.all([startBroker(options), enqueue(sql)]);
  const listeningUs = nowUs();
  await fleet.until("served", WITHIN_MS);
  const { peakRssMib: peakMib, cpuSeconds } = usageOf(next.pid);
  const { welcomedUs, servedUs } = await fleet.times();
  const { ends } = await fleet.state();
  const since = (us: number) => (us - startUs) / 1_000;
  const restart: Restart = {
    endedMs: since(endedUs),
    listeningMs: since(listeningUs),
    welcomedMs: welcomedUs.map(since),
    servedMs: servedUs.map(since),
    peakMib,
    cpuSeconds,
    ends,
  };
  return [next, restart];
}

/** One job for each worker. */
async function enqueue(sql: Sql): Promise<void> {
  await fill(sql, { rows: workers, types: [JOB_TYPE], firstDueSeconds: -86_400, stepSeconds: 0 });
}

async function serveAll(fleet: FleetProcesses, sql: Sql): Promise<void> {
  await fleet.mark();
  await enqueue(sql);
  await fleet.until("served", WITHIN_MS);
}

/** All report what they hold: each job must be done, by its first attempt or by the one after a lost push. */
async function settleAll(fleet: FleetProcesses, sql: Sql): Promise<void> {
  await fleet.reportAll();
  let open = workers;
  await until(
    async () => {
      const [row] = await sql<{ open: number }[]>`SELECT count(*)::int AS open FROM ai_job WHERE status <> 'DONE'`;
      open = row?.open ?? 0;
      return open === 0;
    },
    WITHIN_MS,
    () => `${open} jobs were never done`,
  );
}

function handOver(restarts: Map<string, Restart[]>, connections: number): void {
  const measures = [...restarts].map(([signal, list]) => measuresOf(signal, list));
  const head = ["measure", ...[...restarts.keys()].map((signal) => `restart by ${signal}`)];
  const rows = (measures[0] ?? []).map(({ measure, unit }, row) => [
    `${measure}, ${unit}`,
    ...measures.map((column) => shown(column[row] as Measure)),
  ]);
  console.log(`\n${ground.machine}\n\n${markdown(head, rows)}\n\n${notes(connections)}`);
  if (values.json !== undefined) writeMeasures(values.json, ground.machine, measures.flat());
}

function measuresOf(signal: string, list: Restart[]): Measure[] {
  const held = values.busy ? ", a job held by each" : "";
  const setting = `${workers} workers, ${perConnection} on a connection${held}; restart by ${signal}`;
  const of = (measure: string, unit: string, figure: (restart: Restart) => number) =>
    measureOf({ measure, system: "ai-job-broker", setting, unit }, list.map(figure));
  return [
    of("old broker has ended", "s", ({ endedMs }) => endedMs / 1_000),
    of("new broker listens", "s", ({ listeningMs }) => listeningMs / 1_000),
    of("half of the workers are welcome", "s", ({ welcomedMs }) => percentile(welcomedMs, 0.5) / 1_000),
    of("all workers are welcome", "s", ({ welcomedMs }) => percentile(welcomedMs, 1) / 1_000),
    of("all workers are served", "s", ({ servedMs }) => percentile(servedMs, 1) / 1_000),
    of("from listening to all served", "s", (one) => (percentile(one.servedMs, 1) - one.listeningMs) / 1_000),
    of("broker CPU until then", "s", ({ cpuSeconds }) => cpuSeconds),
    of("broker peak RSS", "MiB", ({ peakMib }) => peakMib),
  ];
}

function notes(connections: number): string {
  return [
    `The median of ${rounds} rounds (least–greatest), all times from the signal. ${workers.toLocaleString("en-US")} workers,`,
    `each an instance and a stream of its own, ${perConnection} on a connection (${connections} connections from`,
    `${PROCESSES} processes; the server takes 4,096 connections and 1,000 streams on each). They come back as the SDK`,
    "does: with full jitter from 100 ms on, or when the broker's Drain told them to. Peak and CPU are the new broker's,",
    "its start included.",
  ].join("\n");
}
