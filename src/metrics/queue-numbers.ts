/** The numbers of a scrape that the database has: jobs by type and state, and the oldest snapshot. */
import type { Database } from "../store/db.ts";
import { oldestXminSeconds } from "../store/oldest-xmin.ts";
import { stats, type TypeStats } from "../store/stats.ts";
import type { Sample } from "./families.ts";
import type { TypeNames } from "./type-names.ts";

export interface QueueNumbers {
  types: TypeStats[];
  /** Undefined where Postgres does not say. */
  xminSeconds: number | undefined;
}

/** Both go by the pool of the cold paths. Rejects when the database is away. */
export async function readQueue(db: Database): Promise<QueueNumbers> {
  const [{ types }, xminSeconds] = await Promise.all([
    stats(db, { includeEnded: false }),
    oldestXminSeconds(db).catch(() => undefined),
  ]);
  return { types, xminSeconds };
}

interface OfName {
  due: number;
  scheduled: number;
  running: number;
  oldestMs: number;
}

/** By the names that metrics may use: types past the bound together. */
export function byName(types: readonly TypeStats[], names: TypeNames): Map<string, OfName> {
  const sums = new Map<string, OfName>();
  for (const { type, due, scheduled, running, oldestDueMs } of types) {
    const name = names.of(type);
    const sum = sums.get(name) ?? { due: 0, scheduled: 0, running: 0, oldestMs: 0 };
    sum.due += due;
    sum.scheduled += scheduled;
    sum.running += running;
    sum.oldestMs = Math.max(sum.oldestMs, oldestDueMs ?? 0);
    sums.set(name, sum);
  }
  return sums;
}

export function* jobSamples(sums: ReadonlyMap<string, OfName>): Generator<Sample> {
  for (const [type, sum] of sums) {
    for (const state of ["due", "scheduled", "running"] as const) yield { labels: { type, state }, value: sum[state] };
  }
}

export function* oldestSamples(sums: ReadonlyMap<string, OfName>): Generator<Sample> {
  for (const [type, { oldestMs }] of sums) yield { labels: { type }, value: oldestMs / 1_000 };
}
