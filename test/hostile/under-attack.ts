/** What holds before, during and after every attack, whichever it is. */
import { expect, type TestContext, vi } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { test as base } from "../support/db.ts";
import { until } from "../support/until.ts";
import { type Figures, type GoodClient, startGoodClient } from "./good-client.ts";
import { type HostileBroker, startHostileBroker } from "./hostile-broker.ts";
import { FULL, sized, tooFewFiles } from "./size.ts";
import { type Told, toldText } from "./told.ts";

// Of each file that imports this: an attack may last, and its memory may take its time.
vi.setConfig({ testTimeout: sized(120_000, 1_800_000) });

export interface Ground {
  broker: HostileBroker;
  client: GoodClient;
  postgres: string;
}

/** Ends an attack that stands until it is let go. */
export type Release = () => unknown;
/** One that is over when it resolves, with nothing, is made again until the good client has made its calls beside it. */
export type Attack = (broker: HostileBroker) => Promise<Release | undefined>;

export interface Bounds {
  /** Where twice the good client's 99th percentile cannot be held: what is, and why. */
  instead?: { p99Ms: number; worstMs?: number; why: string };
  /** How much more memory the broker may hold while the attack stands. */
  roomMb?: number;
  /** How many connections of its own it needs; where fewer can be had, the test is skipped, and says so. */
  connections?: number;
  /** How many calls the good client makes before, and while the attack stands. */
  calls?: number;
}

export const RSS_ROOM_MB = 50;
const RSS_DEADLINE_MS = 30_000;
/** Below this a percentile is the machine's timers and its other processes, not the broker. */
const NOISE_MS = 25;
/** The longest that the good client may wait for one answer. */
const WORST_MS = 5_000;
const ROOM_MB = 400;
/** So few in the suite that they show no more than that each is answered: a percentile is not judged there. */
export const CALLS = sized(40, 500);

/** Attacks with so much, and expects that the broker and its good client come through. */
export type Withstands = (size: string, attack: Attack, bounds?: Bounds) => Promise<void>;

export const test = base.extend<{ ground: Ground; withstands: Withstands }>({
  ground: [
    async ({ url, pools }, use) => {
      const broker = await startHostileBroker(url);
      const client = await startGoodClient(broker.url);
      // Warm, so that what the first calls take for good is not taken for an attack's.
      await client.after(sized(100, 600));
      await use({ broker, client, postgres: await versionOf(pools) });
      await client.stop();
      await broker.stop();
    },
    { scope: "file" },
  ],
  withstands: async ({ ground, annotate, task, skip }, use) => {
    await use(async (size, attack, bounds = {}) => {
      const tooFew = tooFewFiles(bounds.connections ?? 0);
      if (tooFew !== undefined) process.stderr.write(`${task.name}: skipped, ${tooFew}\n`);
      skip(tooFew !== undefined, tooFew);
      await withstand(ground, size, attack, bounds, { annotate, task });
    });
  },
});

/** Where the figures of a test go: beside it on the screen, and into the report. */
export async function tell({ annotate, task }: Pick<TestContext, "annotate" | "task">, told: Told): Promise<void> {
  task.meta.told = told;
  await annotate(toldText(told));
}

export async function versionOf({ sql }: Pick<Database, "sql">): Promise<string> {
  const [row] = await sql`SHOW server_version`;
  return String(row?.["server_version"]);
}

async function withstand(
  { broker, client, postgres }: Ground,
  size: string,
  attack: Attack,
  { instead, roomMb = ROOM_MB, calls = CALLS }: Bounds,
  context: Pick<TestContext, "annotate" | "task">,
): Promise<void> {
  const mark = broker.mark();
  const rss = { before: await broker.settled(), peak: 0, kept: 0, after: 0 };
  await client.figures();
  const before = await client.after(calls);
  const since = performance.now();
  const peak = watchPeak(broker);
  const { release, rounds } = await attackBeside(broker, client, attack, calls).finally(peak.stop);
  const tookMs = performance.now() - since;
  const during = await client.after(calls);
  rss.peak = Math.max(peak.mb(), await broker.rss());
  await release?.();
  rss.kept = await broker.collected();
  rss.after = await memoryBack(broker, rss.before);
  const after = await client.after(sized(20, 40));
  const p99BoundMs = instead?.p99Ms ?? p99BoundOf(before);
  const why = instead === undefined ? {} : { why: instead.why };
  await tell(context, { size, rounds, tookMs, before, during, p99BoundMs, ...why, rss, postgres });
  expect(broker.exit).toBeUndefined();
  expect(broker.faults(mark)).toEqual([]);
  expect(rss.after - rss.before).toBeLessThanOrEqual(RSS_ROOM_MB);
  expect([...before.failures, ...during.failures, ...after.failures]).toEqual([]);
  expect(rss.peak - rss.before).toBeLessThanOrEqual(roomMb);
  judgeTimes(during, p99BoundMs, instead?.worstMs);
}

/** Twice what it was, and never less than noise. */
function p99BoundOf(before: Figures): number {
  return Math.max(2 * before.p99, NOISE_MS);
}

/** Beside other tests on two cores a time says nothing: the figures are told, and `npm run hostile` judges them. */
export function judgeTimes(during: Figures, p99BoundMs: number, worstMs = WORST_MS): void {
  if (!FULL) return;
  expect(during.p99).toBeLessThanOrEqual(p99BoundMs);
  expect(during.max).toBeLessThanOrEqual(worstMs);
}

async function attackBeside(broker: HostileBroker, client: GoodClient, attack: Attack, calls: number) {
  for (let rounds = 1; ; rounds++) {
    const release = await attack(broker);
    if (release !== undefined || !FULL || (await client.count()) >= calls) return { release, rounds };
  }
}

/** Its memory once what it uses is back where it was, or as it stands when the time for that is up. */
export async function memoryBack(broker: HostileBroker, before: number): Promise<number> {
  let mb = await broker.settled();
  const isBack = async () => {
    if (broker.exit !== undefined) throw new Error(`the broker is gone: ${broker.exit}`);
    mb = await broker.settled();
    return mb <= before + RSS_ROOM_MB;
  };
  const back = `its memory is back at ${before.toFixed(0)} MB`;
  await until(back, isBack, RSS_DEADLINE_MS).catch((err: Error) => {
    if (broker.exit !== undefined) throw err;
  });
  return mb;
}

/** The most memory that it was seen with. */
export function watchPeak(broker: HostileBroker) {
  let most = 0;
  const timer = setInterval(async () => {
    // A process that is gone has none.
    most = Math.max(most, await broker.rss().catch(() => 0));
  }, 100);
  return { mb: () => most, stop: () => clearInterval(timer) };
}
