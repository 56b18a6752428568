/** Read: what goes on now, by type: how much waits and runs, how fast it goes, and when the queue will be empty. */
import { type Histogram, quantileMs, sumOf } from "../job/histogram.ts";
import type { Database } from "./db.ts";
import { type History, type HistoryPoint, readHistory } from "./history-read.ts";
import { stats, type TypeStats } from "./stats.ts";
import { type WorkersNow, workersNow } from "./workers-now.ts";

export interface TypeNow {
  type: string;
  due: number;
  scheduled: number;
  running: number;
  paused: boolean;
  oldestDueAt: Date | null;
  dispatchedPerMinute: number;
  donePerMinute: number;
  failedPerMinute: number;
  /** Of the jobs that were done in the last 15 minutes; null: there were none. */
  waitP50Ms: number | null;
  waitP95Ms: number | null;
  runP50Ms: number | null;
  runP95Ms: number | null;
  /** Null: nothing is due, or it does not get less. */
  emptyInMs: number | null;
}

export interface StatsNow {
  types: TypeNow[];
  workers: WorkersNow;
  countedAt: Date;
}

const MINUTE_MS = 60_000;
/** How far back quantiles look, and the pace by which the end of the queue is foretold. */
const SPREAD_MINUTES = 15;
const PACE_MINUTES = 5;
/** The first by name: types are free text, and a frame has a limit. */
const MOST_TYPES = 1_000;

/** Three looks, so its parts may be some milliseconds apart. */
export async function statsNow(db: Database): Promise<StatsNow> {
  const [queue, history, workers] = await Promise.all([
    stats(db, { includeEnded: false }),
    readHistory(db, { stepS: 60, pointS: 60, points: SPREAD_MINUTES + 1, types: "each" }),
    workersNow(db),
  ]);
  const waiting = new Map(queue.types.map((one) => [one.type, one]));
  const happened = Map.groupBy(history.points, ({ type }) => type);
  const names = [...new Set([...waiting.keys(), ...happened.keys()])].filter((name) => name !== "").sort();
  const types = names.slice(0, MOST_TYPES).map((type) => {
    return typeNow(type, waiting.get(type), paceOf(happened.get(type) ?? [], history));
  });
  return { types, workers, countedAt: queue.countedAt };
}

interface Pace {
  dispatchedPerMinute: number;
  donePerMinute: number;
  failedPerMinute: number;
  /** By how many jobs a minute the queue has shrunk. */
  shrinksPerMinute: number;
  waited: Histogram;
  ran: Histogram;
}

function typeNow(type: string, queue: TypeStats | undefined, pace: Pace): TypeNow {
  const { dispatchedPerMinute, donePerMinute, failedPerMinute, shrinksPerMinute, waited, ran } = pace;
  const { due = 0, scheduled = 0, running = 0, paused = false, oldestDueAt = null } = queue ?? {};
  return {
    type,
    due,
    scheduled,
    running,
    paused,
    oldestDueAt,
    dispatchedPerMinute,
    donePerMinute,
    failedPerMinute,
    waitP50Ms: quantileMs(waited, 0.5),
    waitP95Ms: quantileMs(waited, 0.95),
    runP50Ms: quantileMs(ran, 0.5),
    runP95Ms: quantileMs(ran, 0.95),
    emptyInMs: due > 0 && shrinksPerMinute > 0 ? (due / shrinksPerMinute) * MINUTE_MS : null,
  };
}

/** Of one type's minutes. The minute under way is filled up with the rest of the one before. */
function paceOf(points: HistoryPoint[], { now, lastAt }: Pick<History, "now" | "lastAt">): Pace {
  const passed = Math.min(1, (now.getTime() - lastAt.getTime()) / MINUTE_MS);
  const ago = (point: HistoryPoint) => Math.round((lastAt.getTime() - point.at.getTime()) / MINUTE_MS);
  const perMinute = (minutes: number, count: (point: HistoryPoint) => number) => {
    const share = (point: HistoryPoint) => (ago(point) < minutes ? 1 : ago(point) === minutes ? 1 - passed : 0);
    return points.reduce((sum, point) => sum + count(point) * share(point), 0) / minutes;
  };
  return {
    dispatchedPerMinute: perMinute(1, ({ dispatched }) => dispatched),
    donePerMinute: perMinute(1, ({ done }) => done),
    failedPerMinute: perMinute(1, ({ failed }) => failed),
    shrinksPerMinute: perMinute(PACE_MINUTES, (p) => p.done + p.failed + p.cancelled - p.dispatched),
    waited: points.reduce<Histogram>((sum, { waited }) => sumOf(sum, waited), []),
    ran: points.reduce<Histogram>((sum, { ran }) => sumOf(sum, ran), []),
  };
}
