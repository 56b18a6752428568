/** What is said of a run of the mutants: a line each, a table for people, the same for machines. */
import { commitLine } from "../../../bench/harness/machine.ts";
import type { Hunted } from "./hunt.ts";

export interface MutantsRun {
  seed: number;
  machine: string;
  /** Cells that were played without any mutant, all of which held, and how long that took. */
  control: { cells: readonly string[]; seconds: number };
  hunted: Hunted[];
}

/** The rule that has caught it. */
export function caughtBy({ tries }: Hunted): string | undefined {
  return tries.at(-1)?.rule;
}

export function lineOf({ mutant, cell, tries, seconds }: Hunted): string {
  const last = tries.at(-1);
  const effort = `${tries.length} ${tries.length === 1 ? "try" : "tries"}, ${seconds.toFixed(1)} s`;
  if (last?.rule !== undefined) return `caught  ${mutant}: by ${last.rule} in ${cell}, ${effort}; ${last.what}`;
  const instead = tries.map(({ seed, rules, faultsFound }) => {
    const found = [...rules, ...faultsFound.map((fault) => fault.split("\n")[0])].join("; ");
    return `\n        seed ${seed}: ${found || "nothing was wrong"}`;
  });
  return `MISSED  ${mutant}: in ${cell}, ${effort}; found instead:${instead.join("")}`;
}

export function mutantsMarkdown({ seed, machine, control, hunted }: MutantsRun): string {
  const rows = hunted.map((one) => {
    const { mutant, about, cell, tries, seconds } = one;
    return [mutant, about, caughtBy(one) ?? "**missed**", cell, tries.length, seconds.toFixed(1)].join(" | ");
  });
  const caught = hunted.filter((one) => caughtBy(one) !== undefined).length;
  return [
    "# Mutation controls",
    "",
    `${caught} of ${hunted.length} seeded bugs caught; seed ${seed}, commit ${commitLine()}, on ${machine}.`,
    "",
    `Before them the same cells held without a bug: ${control.cells.join(", ")}; ${control.seconds.toFixed(0)} s.`,
    "",
    "| bug | what is wrong | caught by | in cell | tries | seconds |",
    "| --- | --- | --- | --- | ---: | ---: |",
    ...rows.map((row) => `| ${row} |`),
    "",
  ].join("\n");
}

export function mutantsJson(run: MutantsRun): object {
  const { seed, machine, control, hunted } = run;
  return { seed, commit: commitLine(), machine, control, mutants: hunted };
}
