/** Today's figures beside recorded ones. Seconds differ from machine to machine: what is compared are ratios to peers. */
import type { Measure } from "./figures.ts";
import { MEMORY } from "./used.ts";

/** What `--json` has written. */
export interface Recorded {
  machine: string;
  commit: string;
  measures: Measure[];
}

export interface Compared {
  measure: string;
  peer: string;
  /** How much better ours is than the peer: above 1 it is faster, also where less is better. */
  was: number;
  is: number;
  dropped: boolean;
}

export const OURS = "ai-job-broker";
const DROP = 0.15;

export function compareFigures(before: readonly Measure[], now: readonly Measure[]): Compared[] {
  const earlier = ratiosOf(before);
  return [...ratiosOf(now)].flatMap(([key, { measure, peer, ratio }]) => {
    const was = earlier.get(key)?.ratio;
    return was === undefined ? [] : [{ measure, peer, was, is: ratio, dropped: ratio < was * (1 - DROP) }];
  });
}

interface Ratio {
  measure: string;
  peer: string;
  ratio: number;
}

/** The best setting of ours against the best of each other system, for each measure that both have. */
function ratiosOf(measures: readonly Measure[]): Map<string, Ratio> {
  const ratios = new Map<string, Ratio>();
  for (const [measure, rows] of Map.groupBy(measures.filter(isSpeed), ({ measure }) => measure)) {
    const ours = best(rows.filter(({ system }) => system === OURS));
    if (ours === undefined) continue;
    for (const [peer, theirs] of Map.groupBy(rows, ({ system }) => system)) {
      const other = peer === OURS ? undefined : best(theirs);
      if (other === undefined) continue;
      const ratio = isLessBetter(measure) ? other / ours : ours / other;
      ratios.set(`${measure}\n${peer}`, { measure, peer, ratio });
    }
  }
  return ratios;
}

function best(rows: readonly Measure[]): number | undefined {
  const known = rows.flatMap(({ value }) => value ?? []);
  if (known.length === 0) return undefined;
  return isLessBetter(rows[0]?.measure ?? "") ? Math.min(...known) : Math.max(...known);
}

/** CPU and memory are for reading: they say where a drop comes from. */
function isSpeed({ measure }: Measure): boolean {
  return !measure.includes(":") && measure !== MEMORY;
}

export function isLessBetter(measure: string): boolean {
  return measure.startsWith("latency");
}
