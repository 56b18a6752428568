/** One cell from its first fault to its verdict: faults, heal, drain, check. */
import { TERMINAL_KINDS } from "../../src/job/events.ts";
import { until } from "../support/until.ts";
import type { Cell } from "./cell.ts";
import { Dice } from "./dice.ts";
import type { Verdict } from "./history/check.ts";
import { readTorn } from "./history/row-history.ts";
import type { FinalRow } from "./history/rows.ts";
import { judgeApart } from "./judge-apart.ts";
import { nowUs, pass, within } from "./pace.ts";
import { BACKOFF, CANCEL_GRACE_MS, MAX_DELIVERIES, type World } from "./world.ts";

export interface RunOptions {
  seed: number;
  full: boolean;
  say: (line: string) => void;
}

/** What came of a cell. */
export interface Outcome {
  cell: string;
  jobs: number;
  faults: number;
  /** Acknowledged, and not there. */
  lost: number;
  /** Jobs with more than one result accepted or written. */
  repeated: number;
  violations: number;
  /** From the heal until a job that was worked on ended. */
  recoverMs: number | undefined;
  seconds: number;
  /** How often calls and statements went wrong, what was seen. */
  notes: string[];
  verdict: Verdict | undefined;
  /** What is wrong beside what the checker finds. */
  faultsFound: string[];
}

const QUICK_ROUNDS = 3;
const FULL = { jobs: 10_000, faults: 200 };
const RECOVER_WITHIN_MS = 30_000;
const DRAIN_WITHIN_MS = 30_000;
/** A slow machine has so long in all, as long as jobs go on to end. */
const DRAIN_MOST_MS = 180_000;
const TOLD_WITHIN_MS = 15_000;
const GLIMPSE_EVERY_MS = 300;

/** Leaves the world healed and at rest, where it can. */
export async function runCell(cell: Cell, world: World, run: RunOptions): Promise<Outcome> {
  const since = performance.now();
  world.faults = 0;
  world.remarks = [];
  await world.producer.ask("go");
  const { faultsFound, recoverMs, glimpses } = await live(cell, world, run);
  const { folder, name, cluster } = world.options;
  const { verdict, jobs, notes } = await judgeApart({
    folder,
    url: cluster.urlOf(name),
    from: world.from,
    glimpses,
    options: {
      backoff: BACKOFF,
      cancelGraceMs: CANCEL_GRACE_MS,
      maxDeliveries: MAX_DELIVERIES,
      subscribers: [{ name: "producer", kinds: TERMINAL_KINDS }],
      ...cell.check,
    },
  });
  await world.turnPage();
  const broken = (rule: string) => verdict.rules.find(({ name }) => name === rule)?.broken ?? 0;
  return {
    cell: cell.name,
    jobs,
    faults: world.faults,
    lost: broken("acknowledged-dispatch-survives"),
    repeated: broken("one-result-per-life"),
    violations: verdict.violations.length + faultsFound.length,
    recoverMs,
    seconds: (performance.now() - since) / 1_000,
    notes: [...notes, ...world.remarks],
    verdict,
    faultsFound,
  };
}

type Ended = Pick<Outcome, "faultsFound" | "recoverMs"> & { glimpses: FinalRow[][] };

/** Faults, then none; the producer ends; all jobs end. */
async function live(cell: Cell, world: World, { seed, full, say }: RunOptions): Promise<Ended> {
  const dice = new Dice(seed, cell.name);
  const faultsFound: string[] = [];
  const over = new AbortController();
  const glimpsing = glimpse(world, over.signal);
  try {
    for (let round = 1; await goesOn(cell, world, round, full); round++) {
      await cell.deal(world, dice, { full, round });
      say(`${cell.name}: round ${round}, ${world.faults} faults`);
      await pass(dice.between(100, 400));
    }
  } finally {
    over.abort();
  }
  world.note("the faults are over");
  faultsFound.push(...world.takeFalls());
  const healedUs = nowUs();
  await world.heal();
  const recovered = await until("a job ends", () => world.hasEnded(healedUs), RECOVER_WITHIN_MS).catch(String);
  const recoverMs = recovered === true ? Math.round((nowUs() - healedUs) / 1_000) : undefined;
  if (recoverMs === undefined) faultsFound.push(`no job has ended within ${RECOVER_WITHIN_MS} ms of the heal`);
  world.note("the producer is to end");
  if (!(await within(DRAIN_WITHIN_MS, world.producer.ask("pause")))) {
    faultsFound.push(`the producer had calls unanswered ${DRAIN_WITHIN_MS} ms after the heal`);
  }
  const drained = await until("all jobs have ended", () => isDrained(world), DRAIN_MOST_MS).catch(() => false);
  // The checker finds those that have not ended; who still works on them would only blur the picture.
  if (!drained) {
    await world.end();
    return { faultsFound, recoverMs, glimpses: await glimpsing };
  }
  await until("the watch has told all ends", () => isTold(world), TOLD_WITHIN_MS).catch(() => undefined);
  faultsFound.push(...((await cell.look?.(world, full)) ?? []), ...world.takeFalls());
  return { faultsFound, recoverMs, glimpses: await glimpsing };
}

/** Looks now and then whether the tables agree, until it is over. */
async function glimpse(world: World, over: AbortSignal): Promise<FinalRow[][]> {
  const glimpses: FinalRow[][] = [];
  while (!over.aborted) {
    await pass(GLIMPSE_EVERY_MS);
    // The database may be away.
    const torn = await readTorn(world.sql).catch(() => []);
    if (torn.length > 0) glimpses.push(torn);
  }
  return glimpses;
}

async function goesOn(cell: Cell, world: World, round: number, full: boolean): Promise<boolean> {
  if (!full) return round <= (cell.rounds ?? QUICK_ROUNDS);
  if (world.faults < FULL.faults) return true;
  const [row] = await world.sql`SELECT count(*)::int AS jobs FROM ai_job`;
  return Number(row?.["jobs"]) < (cell.fullJobs ?? FULL.jobs);
}

/** Whether all jobs have ended; throws when some have not, and for DRAIN_WITHIN_MS none has. */
async function isDrained({ sql }: World): Promise<boolean> {
  const [row] = await sql`
    SELECT EXISTS (SELECT FROM ai_job WHERE status IN ('PENDING', 'RUNNING')) AS open,
      EXISTS (SELECT FROM ai_job WHERE finished_at > now() - ${DRAIN_WITHIN_MS}::float8 * interval '1 millisecond') AS moves`;
  if (row?.["open"] && !row["moves"]) throw new Error(`for ${DRAIN_WITHIN_MS} ms no job has ended`);
  return row?.["open"] === false;
}

async function isTold({ sql, producer }: World): Promise<boolean> {
  const [row] = await sql`SELECT count(*)::int AS ends FROM ai_event WHERE kind IN ${sql([...TERMINAL_KINDS])}`;
  return (await producer.ask<number>("seen")) >= Number(row?.["ends"]);
}
