/** The figures for people: tables, and a chart. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chartOf } from "./chart.ts";
import { type Measure, markdown, shown, writeMeasures } from "./figures.ts";
import { MEMORY } from "./used.ts";

/** A table of the figures, and one of the memory, whose settings are its own. */
export function tablesOf(measures: readonly Measure[]): string {
  const isMemory = ({ measure }: Measure) => measure === MEMORY;
  const parts = [measures.filter((one) => !isMemory(one)), measures.filter(isMemory)];
  return parts
    .filter(({ length }) => length > 0)
    .map(tableOf)
    .join("\n\n");
}

/** A row for each system and setting, a column for each measure. */
function tableOf(measures: readonly Measure[]): string {
  const columns = [...new Set(measures.map(titleOf))];
  const rows = [...Map.groupBy(measures, ({ system, setting }) => `${system}: ${setting}`)].map(([name, own]) => [
    name,
    ...columns.map((column) => {
      const measure = own.find((one) => titleOf(one) === column);
      return measure === undefined ? "–" : shown(measure, digitsOf(measure));
    }),
  ]);
  return markdown(["system", ...columns], rows);
}

/** bench.json, bench.md and bench.svg. */
export function writeAll(folder: string, machine: string, measures: readonly Measure[]): void {
  mkdirSync(folder, { recursive: true });
  writeMeasures(join(folder, "bench.json"), machine, measures);
  const names = [...Map.groupBy(measures, ({ measure }) => groupOf(measure))];
  const sections = names.map(([name, own]) => `## ${name}\n\n${tablesOf(own)}`);
  writeFileSync(join(folder, "bench.md"), `# npm run bench\n\n${machine}\n\n${sections.join("\n\n")}\n`);
  writeFileSync(join(folder, "bench.svg"), chartOf(measures, machine));
}

/** "drain: CPU per job, server" belongs to drain, "latency p50 at 100/s" to latency. */
function groupOf(measure: string): string {
  return /^latency|^[^:]+/.exec(measure)?.[0] ?? measure;
}

function titleOf({ measure, unit }: Measure): string {
  return `${measure}, ${unit}`;
}

function digitsOf({ value, unit }: Measure): number {
  return unit === "ratio" || (unit === "ms" && (value ?? 0) < 100) ? 2 : 0;
}
