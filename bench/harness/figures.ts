/** What a bench hands over: one measure of one system after several rounds, for people and for machines. */
import { writeFileSync } from "node:fs";
import { commitLine } from "./machine.ts";

/** One line of the JSON file. */
export interface Measure {
  /** For example "latency p50". */
  measure: string;
  /** ai-job-broker, graphile-worker, pg-boss, bullmq, ceiling. */
  system: string;
  /** How the system was set up, and under what load. */
  setting: string;
  /** The median of the rounds; null: it could not be measured here. */
  value: number | null;
  unit: string;
  rounds: number[];
}

export function measureOf(about: Omit<Measure, "value" | "rounds">, rounds: number[]): Measure {
  const known = rounds.filter(Number.isFinite).map(rounded);
  return { ...about, value: known.length === 0 ? null : rounded(percentile(known, 0.5)), rounds: known };
}

/** The value below which `share` of the samples lie, between two samples by their distance; NaN without samples. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** The median with the least and the greatest round, "1.23 (1.10–1.40)". */
export function shown({ value, rounds }: Measure, digits = 2): string {
  if (value === null) return "–";
  const text = (figure: number) => figure.toLocaleString("en-US", fixed(digits));
  if (rounds.length < 2) return text(value);
  return `${text(value)} (${text(Math.min(...rounds))}–${text(Math.max(...rounds))})`;
}

/** A markdown table; columns after the first `left` are aligned to the right. */
export function markdown(head: string[], rows: string[][], left = 1): string {
  const lines = [head, head.map((_, at) => (at < left ? "---" : "---:")), ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

export function writeMeasures(file: string, machine: string, measures: readonly Measure[]): void {
  writeFileSync(file, `${JSON.stringify({ machine, commit: commitLine(), measures }, null, 2)}\n`);
}

function rounded(figure: number): number {
  return Number(figure.toPrecision(6));
}

function fixed(digits: number): Intl.NumberFormatOptions {
  return { minimumFractionDigits: digits, maximumFractionDigits: digits };
}
