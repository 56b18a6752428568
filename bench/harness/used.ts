/** What jobs use beside the time that they take, CPU, WAL and memory, in the same words for every measure. */
import { type Measure, measureOf } from "./figures.ts";
import { treeCpuSeconds, usageOf } from "./usage.ts";

/** The processes of each part, of the worker for example; none: nothing is known of it. */
type Parts<W extends string> = Record<W, number | readonly number[] | undefined>;

/** The Postgres that is looked at. */
export interface Watched {
  /** The postmaster's. */
  postgresPid: number;
  /** Bytes of WAL that it has ever made, page images after a checkpoint with them. */
  walBytes(): Promise<number>;
}

export interface Used<W extends string> {
  /** CPU that a job took, in µs, over all processes of a part. */
  cpu: Record<W | "Postgres", number>;
  /** Bytes of WAL that a job took. */
  wal: number;
  /** RSS at the end, in MiB, of the largest process of a part. */
  rss: Record<W, number>;
}

/** The measure that all memory is recorded as. */
export const MEMORY = "memory";

/** Looks now, and when it is asked what so many jobs have used since. */
export async function watchUse<W extends string = never>(
  parts: Parts<W>,
  { postgresPid, walBytes }: Watched,
): Promise<(jobs: number) => Promise<Used<W>>> {
  const walBefore = await walBytes();
  const before = cpuSeconds(parts, postgresPid);
  return async (jobs) => {
    const after = cpuSeconds(parts, postgresPid);
    const cpu = mapOf(after, (seconds, who) => ((seconds - before[who]) * 1e6) / jobs);
    const wal = ((await walBytes()) - walBefore) / jobs;
    return { cpu, wal, rss: mapOf(parts, (pids) => largest(listOf(pids).map((pid) => usageOf(pid).rssMib))) };
  };
}

/** CPU by process and WAL under the measure's own name, memory as a measure of its own whose setting says of what. */
export function usedMeasures<W extends string>(
  name: string,
  { system, setting }: Pick<Measure, "system" | "setting">,
  rounds: readonly Used<W>[],
): Measure[] {
  const [first] = rounds;
  if (first === undefined) return [];
  const cpu = (Object.keys(first.cpu) as (W | "Postgres")[]).map((who) =>
    measureOf(
      { measure: `${name}: CPU per job, ${who}`, system, setting, unit: "µs" },
      rounds.map((round) => round.cpu[who]),
    ),
  );
  const wal = measureOf(
    { measure: `${name}: WAL per job, Postgres`, system, setting, unit: "bytes" },
    rounds.map((round) => round.wal),
  );
  const memory = (Object.keys(first.rss) as W[]).map((who) =>
    measureOf(
      { measure: MEMORY, system, setting: `${name}, ${who}: ${setting}`, unit: "MiB" },
      rounds.map((round) => round.rss[who]),
    ),
  );
  // A library has no server whose figures could be missed, and a producer nothing to do in a drain.
  return [...cpu, wal, ...memory].filter(({ value }) => value !== null);
}

function cpuSeconds<W extends string>(parts: Parts<W>, postgresPid: number): Record<W | "Postgres", number> {
  const own = mapOf(parts, (pids) => summed(listOf(pids).map((pid) => usageOf(pid).cpuSeconds)));
  return { ...own, Postgres: treeCpuSeconds(postgresPid) } as Record<W | "Postgres", number>;
}

function listOf(pids: number | readonly number[] | undefined): number[] {
  return [pids ?? []].flat();
}

function summed(figures: number[]): number {
  return figures.length === 0 ? Number.NaN : figures.reduce((sum, figure) => sum + figure, 0);
}

function largest(figures: number[]): number {
  return figures.length === 0 ? Number.NaN : Math.max(...figures);
}

function mapOf<W extends string, V>(record: Record<W, V>, map: (value: V, who: W) => number): Record<W, number> {
  const entries = (Object.entries(record) as [W, V][]).map(([who, value]) => [who, map(value, who)]);
  return Object.fromEntries(entries) as Record<W, number>;
}
