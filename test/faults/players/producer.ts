/**
 * The producer of a cell: dispatches jobs under ids and keys of its own at a steady pace, sends what was not answered
 * again until it is, and some jobs once more under their key alone, cancels some and starts some of these again. It also
 * watches all jobs, and writes down each change that it is told of.
 */
import { createClient, type JobToDispatch } from "../../../src/client/index.ts";
import { Dice } from "../dice.ts";
import { pass } from "../pace.ts";
import { answerParent, type Payload, settingsOf, TYPE } from "./settings.ts";
import { recorder } from "./tap.ts";

export interface Load {
  /** Jobs. */
  perSecond: number;
  /** No more than so many in all; 0: until it is stopped. */
  most: number;
  /** Jobs in one call, at most. */
  batch: number;
  /** The longest that a handler takes. */
  ms: number;
  /** Shares of the jobs: fail once or twice before they succeed, are cancelled, are started again after that. */
  failing: number;
  cancelled: number;
  retried: number;
}

export interface ProducerSettings {
  token: string;
  urls: string[];
  /** Begins each job's id. */
  prefix: string;
  seed: number;
  load: Load;
}

type Jobs = JobToDispatch<Record<string, { payload: object }>>[];

const { token, urls, prefix, seed, load } = settingsOf<ProducerSettings>();
const dice = new Dice(seed, "producer");
const client = createClient({ url: urls, token, timeoutMs: 4_000 });
const ENDS = new Set(["DONE", "FAILED", "CANCELLED"]);
const MOST_UNDER_WAY = 20;
/** So many seconds' jobs may wait for their end: what a slow machine leaves behind has to be done after the faults. */
const MOST_WAITING_S = 10;
/** Of the batches: their producer forgets an id, and has only the key. */
const FORGOTTEN = 0.05;
const underWay = new Set<Promise<void>>();
const seen = new Set<string>();
const counts = { made: 0, acked: 0 };
let stopping = false;

function makeBatch(): Jobs {
  const left = load.most === 0 ? load.batch : Math.min(load.batch, load.most - counts.made);
  return Array.from({ length: dice.between(Math.min(left, Math.ceil(load.batch / 2)), left) }, () => {
    const id = `${prefix}-${++counts.made}`;
    const payload: Payload = {
      ms: dice.between(0, load.ms),
      failures: dice.chance(load.failing) ? dice.between(1, 2) : 0,
    };
    return { type: TYPE, payload, id, idempotencyKey: `key-${id}`, tenantId: dice.pick(["t1", "t2"]) };
  });
}

async function deliver(jobs: Jobs): Promise<void> {
  await dispatch(jobs);
  counts.acked += jobs.length;
  if (dice.chance(FORGOTTEN)) await dispatch([{ ...dice.pick(jobs), id: undefined }]);
  for (const { id = "" } of jobs) if (dice.chance(load.cancelled)) await cancel(id);
}

/** Until it is answered: who does not know whether a job is stored asks again under the same id and key. */
async function dispatch(jobs: Jobs): Promise<void> {
  for (;;) {
    try {
      await client.dispatchMany(jobs);
      return;
    } catch {
      await pass(100);
    }
  }
}

async function cancel(id: string): Promise<void> {
  await pass(dice.between(0, 2 * load.ms));
  const outcome = await client.cancel(id).catch(() => undefined);
  if (outcome === undefined || !dice.chance(load.retried)) return;
  await pass(dice.between(0, 200));
  await client.retry(id).catch(() => undefined);
}

async function produce(): Promise<void> {
  const since = performance.now();
  const before = counts.made;
  while (!stopping && (load.most === 0 || counts.made < load.most)) {
    const due = ((performance.now() - since) / 1_000) * load.perSecond;
    const waiting = counts.made - seen.size;
    const isAhead = counts.made - before > due || waiting > MOST_WAITING_S * load.perSecond;
    if (isAhead || underWay.size >= MOST_UNDER_WAY) {
      await pass(20);
      continue;
    }
    const one = deliver(makeBatch()).finally(() => underWay.delete(one));
    underWay.add(one);
  }
}

async function watch(onReady: () => void): Promise<void> {
  for await (const update of client.watch({ types: [TYPE] }, { changesOnly: true, silenceMs: 3_000 })) {
    onReady();
    if (update.kind !== "changes") continue;
    const items = update.changes.map(({ jobId: job, kind, seq, attempts: attempt }) => {
      if (ENDS.has(kind)) seen.add(`${job} ${seq}`);
      return { job, status: kind.toLowerCase(), seq, attempt };
    });
    recorder.told("event", { items });
  }
}

const watching = Promise.withResolvers<void>();
const watched = watch(watching.resolve);
let producing = watching.promise.then(produce);

answerParent({
  /** Ends that the watch has told. */
  seen: () => seen.size,
  /** Resolves when nothing is unanswered. */
  pause: async () => {
    stopping = true;
    await producing;
    await Promise.all(underWay);
    return counts;
  },
  go: () => {
    if (!stopping) return;
    stopping = false;
    producing = produce();
  },
});
await watched;
