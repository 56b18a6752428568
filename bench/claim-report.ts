/** The figures as a reader of the README sees them. */
import type { Figures, Spread } from "./measure.ts";

/** A markdown table; each row is compared with the first one that claims as many jobs at once. */
export function table(figures: readonly Figures[]): string {
  const rows = figures.map((row) => {
    const small = figures.find(({ limit }) => limit === row.limit) ?? row;
    const ratio = row === small ? "1" : (row.statement.median / small.statement.median).toFixed(2);
    const cells = [row.name, row.limit, row.jobs, ms(row.statement), ratio, ms(row.committed), row.buffers];
    return `| ${cells.join(" | ")} |`;
  });
  return [
    "| backlog | asked | got | claim, ms (10–90 %) | against the smallest | with commit, ms (10–90 %) | pages touched |",
    "|---|---:|---:|---:|---:|---:|---:|",
    ...rows,
  ].join("\n");
}

function ms({ median, p10, p90 }: Spread): string {
  return `${median.toFixed(2)} (${p10.toFixed(2)}–${p90.toFixed(2)})`;
}
