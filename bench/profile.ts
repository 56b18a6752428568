/**
 * Where do the microseconds of a job go, by process? `npm run bench:profile`
 *   -- --jobs 40000       of the drain
 *   -- --rate 100         jobs a second on an idle queue, --seconds 20
 *   -- --top 12           functions named for each process
 *   -- --out FOLDER       the profiles, for the DevTools or speedscope
 *
 * One broker with its default settings, one producer, one SDK worker, as in `npm run bench`; each process that has to do with
 * a part is sampled twice a millisecond while the part lasts, which makes it a little slower. Own time only: what a function
 * calls is the called one's. Native code has the system calls in it.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { API_TOKEN, type BrokerProcess, startBroker } from "./harness/broker.ts";
import { type Child, startChild } from "./harness/child.ts";
import { type CpuProfile, EVERY_US, type Profiled, sumUp } from "./harness/cpu-profile.ts";
import { markdown } from "./harness/figures.ts";
import { openGround } from "./harness/ground.ts";
import { Inspector } from "./harness/inspector.ts";
import { opened } from "./harness/load.ts";
import { readOptions, wholeFrom } from "./harness/options.ts";
import { until } from "./harness/until.ts";
import { produceAll } from "./measures/run-through.ts";
import { brokerDatabase, STATEMENTS } from "./systems/ai-job-broker.ts";
import { emptyBy } from "./systems/empty-by.ts";

const values = readOptions(import.meta.filename, {
  jobs: { type: "string", default: "40000" },
  rate: { type: "string", default: "100" },
  seconds: { type: "string", default: "20" },
  top: { type: "string", default: "12" },
  out: { type: "string" },
});
const jobs = wholeFrom(1, "--jobs", values.jobs);
const rate = wholeFrom(1, "--rate", values.rate);
const seconds = wholeFrom(1, "--seconds", values.seconds);
const top = wholeFrom(0, "--top", values.top);
const WARM_UP = 4_000;
const WITHIN_MS = 300_000;
const SEATS = { drain: 1_000, latency: 10 };

/** A process under the profiler. */
interface Watched {
  name: string;
  start(): Promise<unknown>;
  take(): Promise<Profiled>;
}

const ground = await openGround();
try {
  const databaseUrl = await brokerDatabase(ground);
  const look = emptyBy(databaseUrl, STATEMENTS);
  const broker = await startBroker({ databaseUrl, folder: ground.folder, inspect: true });
  const [producer, worker] = ["produce.ts", "work.ts"].map((file) =>
    startChild(join(import.meta.dirname, "harness", file)),
  ) as [Child, Child];
  try {
    console.log(ground.machine);
    await runParts({ broker, producer, worker, isEmpty: look.isEmpty, clear: async () => look.tables?.clear() });
  } finally {
    await worker.stop();
    await producer.stop();
    await broker.end("SIGTERM");
    await look.stop();
  }
} finally {
  await ground.close();
}

interface Cast {
  broker: BrokerProcess;
  producer: Child;
  worker: Child;
  isEmpty(): Promise<boolean>;
  clear(): Promise<unknown>;
}

async function runParts(cast: Cast): Promise<void> {
  const { broker, producer, worker } = cast;
  const target = { url: broker.url, via: "grpc-js" };
  const open = (concurrency: number) => opened(worker, { client: "ai-job-broker", target, concurrency });
  const ofBroker = watchBroker(broker);
  const [ofProducer, ofWorker] = [watchChild("producer", producer), watchChild("worker", worker)];

  await opened(producer, { client: "ai-job-broker", target });
  await open(SEATS.drain);
  await produceAll(producer, WARM_UP);
  await untilDone(cast, WARM_UP);
  await worker.ask("close");
  await cast.clear();

  await show("dispatch, 500 in a call", [ofProducer, ofBroker], jobs, () => produceAll(producer, jobs));
  await show("drain, 1,000 at a time", [ofBroker, ofWorker], jobs, async () => {
    await open(SEATS.drain);
    await untilDone(cast, jobs);
  });
  await worker.ask("close");

  await open(SEATS.latency);
  await producer.ask("run", { perSecond: rate, seconds: 3 });
  const sent = rate * seconds;
  await show(`${rate} jobs/s on an idle queue`, [ofProducer, ofBroker, ofWorker], sent, () =>
    producer.ask("run", { perSecond: rate, seconds }),
  );
}

async function untilDone({ worker, isEmpty }: Cast, count: number): Promise<void> {
  await until(
    async () => (await worker.ask<number>("count")) >= count && (await isEmpty()),
    WITHIN_MS,
    () => `${count} jobs were not done`,
  );
}

function watchChild(name: string, child: Child): Watched {
  return { name, start: () => child.ask("startProfile"), take: () => child.ask("takeProfile") };
}

function watchBroker({ url, logFile }: BrokerProcess): Watched {
  let inspector: Inspector | undefined;
  return {
    name: "broker",
    async start() {
      inspector = await Inspector.open(logFile);
      await inspector.ask("Profiler.enable");
      await inspector.ask("Profiler.setSamplingInterval", { interval: EVERY_US });
      // Begins its count anew.
      await loopDelayMs(url);
      await inspector.ask("Profiler.start");
    },
    async take() {
      const asked = await inspector?.ask<{ profile: CpuProfile }>("Profiler.stop");
      inspector?.[Symbol.dispose]();
      return { profile: asked?.profile as CpuProfile, loopDelayMs: await loopDelayMs(url) };
    },
  };
}

/** Of the broker, since it was asked last. */
async function loopDelayMs(url: string): Promise<number> {
  const answer = await fetch(`${url}/metrics`, { headers: { "x-worker-token": API_TOKEN } });
  return Number(/^nodejs_eventloop_lag_p99_seconds (\S+)/m.exec(await answer.text())?.[1]) * 1_000;
}

async function show(part: string, watched: Watched[], count: number, run: () => Promise<unknown>): Promise<void> {
  for (const one of watched) await one.start();
  await run();
  const taken = await Promise.all(watched.map((one) => one.take()));
  if (values.out !== undefined) {
    mkdirSync(values.out, { recursive: true });
    for (const [at, { profile }] of taken.entries()) {
      const file = `${part.replace(/\W+/g, "-")}-${watched[at]?.name}.cpuprofile`;
      writeFileSync(join(values.out, file), JSON.stringify(profile));
    }
  }
  const sums = taken.map(({ profile }) => sumUp(profile));
  const perJob = (us: number | undefined) => (us === undefined ? "" : (us / count).toFixed(1));
  const total = (of: Map<string, number>) => [...of.values()].reduce((sum, us) => sum + us, 0);
  const owners = [...new Set(sums.flatMap(({ byOwner }) => [...byOwner.keys()]))];
  const weight = (owner: string) => sums.reduce((sum, { byOwner }) => sum + (byOwner.get(owner) ?? 0), 0);
  const rows = owners
    .toSorted((a, b) => weight(b) - weight(a))
    .map((owner) => [owner, ...sums.map(({ byOwner }) => perJob(byOwner.get(owner)))]);
  rows.push(
    ["all", ...sums.map(({ byOwner }) => perJob(total(byOwner)))],
    ["event loop late by, p99, ms", ...taken.map(({ loopDelayMs }) => loopDelayMs.toFixed(1))],
  );
  console.log(`\n## ${part}\n\n${markdown([`µs of a job, of ${count}`, ...watched.map(({ name }) => name)], rows)}`);
  for (const [at, { byFunction }] of sums.entries()) {
    const first = [...byFunction].toSorted(([, a], [, b]) => b - a).slice(0, top);
    const lines = first.map(([place, us]) => `${perJob(us).padStart(6)}  ${place}`);
    if (lines.length > 0) console.log(`\n${watched[at]?.name}:\n${lines.join("\n")}`);
  }
}
