/** What is said of a run: a table for people, the same for machines, and the shortest history of what went wrong. */
import { commitLine, machineLine } from "../../bench/harness/machine.ts";
import { CELLS } from "./cells/all.ts";
import type { Violation } from "./history/check.ts";
import { verdictText } from "./history/verdict-text.ts";
import type { Outcome } from "./run-cell.ts";

export interface Skipped {
  cell: string;
  why: string;
}

export interface Run {
  seed: number;
  full: boolean;
  postgres: string;
  outcomes: Outcome[];
  skipped: Skipped[];
}

const HEAD = ["cell", "jobs", "faults", "lost", "repeated results", "violations", "recovers in", "seconds"];

function row(outcome: Omit<Outcome, "verdict">): string[] {
  const { cell, jobs, faults, lost, repeated, violations, recoverMs, seconds } = outcome;
  const recovers = recoverMs === undefined ? "not" : `${recoverMs} ms`;
  return [cell, ...[jobs, faults, lost, repeated, violations].map(String), recovers, seconds.toFixed(1)];
}

/** Columns as wide as their widest text. */
export function tableText({ outcomes, skipped }: Pick<Run, "outcomes" | "skipped">): string {
  const rows = [HEAD, ...outcomes.map(row)];
  const widths = HEAD.map((_, at) => Math.max(...rows.map((cells) => cells[at]?.length ?? 0)));
  const lines = rows.map((cells) =>
    cells.map((text, at) => (at === 0 ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0))).join("  "),
  );
  return [...lines, ...skipped.map(({ cell, why }) => `${cell}  skipped: ${why}`)].join("\n");
}

/** An outcome as it is kept: with what made it, without the histories that it was judged by. */
type Kept = Omit<Outcome, "verdict"> & {
  seed: number;
  commit: string;
  /** Undefined in reports of before this was kept: the report's. */
  machine?: string;
  broken: Violation[];
  /** Rules that the cell has not been judged by; undefined in reports of before this was kept. */
  notJudged?: string[];
  failure?: string;
};

/** What stands in report.json: of one run, or of several of them, a cell at a time. */
export interface Report {
  full: boolean;
  machine: string;
  outcomes: Kept[];
  skipped: Skipped[];
}

/** Of a run so far. With an `earlier` report of the same kind its cells stay where this run has none of that name. */
export function reportOf(run: Run, earlier?: Report): Report {
  const [commit, machine] = [commitLine(), machineLine(run.postgres)];
  const outcomes = run.outcomes.map(({ verdict, ...outcome }): Kept => {
    const failure = isBad(outcome) ? { failure: failureText({ ...outcome, verdict }, run) } : {};
    const notJudged = verdict?.rules.filter(({ skipped }) => skipped).map(({ name }) => name) ?? [];
    return { ...outcome, seed: run.seed, commit, machine, broken: verdict?.violations ?? [], notJudged, ...failure };
  });
  const here = [...run.outcomes, ...run.skipped].map(({ cell }) => cell);
  const others = <T extends { cell: string }>(of: T[] = []) => of.filter(({ cell }) => !here.includes(cell));
  return {
    full: run.full,
    machine,
    outcomes: inOrder([
      ...others(earlier?.outcomes).map((one) => ({ machine: earlier?.machine, ...one })),
      ...outcomes,
    ]),
    skipped: inOrder([...others(earlier?.skipped), ...run.skipped]),
  };
}

/** As the programme lists its cells. */
export function inOrder<T extends { cell: string }>(of: T[]): T[] {
  const place = ({ cell }: T) => CELLS.findIndex(({ name }) => name === cell);
  return of.toSorted((a, b) => place(a) - place(b));
}

export function reportMarkdown({ full, machine, outcomes, skipped }: Report): string {
  const cells = outcomes.map((outcome) => `| ${row(outcome).join(" | ")} |`);
  const howOf = ({ seed, commit }: Kept) => `seed ${seed}, commit ${commit}`;
  const isOfOne = new Set(outcomes.map((one) => `${howOf(one)} ${one.machine ?? machine}`)).size === 1;
  const makers = [...Map.groupBy(outcomes, (one) => one.machine ?? machine)].map(([where, there]) => {
    const made = [...Map.groupBy(there, howOf)];
    const parts = made.map(([how, of]) => (isOfOne ? how : `${how}: ${of.map(({ cell }) => cell).join(", ")}`));
    return `on ${where}; ${parts.join("; ")}.`;
  });
  return [
    "# The fault programme",
    "",
    ...makers.flatMap((maker, at) => [at === 0 ? `${full ? "Full" : "Quick"} run ${maker}` : `And ${maker}`, ""]),
    `| ${HEAD.join(" | ")} |`,
    `| --- |${" ---: |".repeat(HEAD.length - 1)}`,
    ...cells,
    "",
    ...skipped.map(({ cell, why }) => `- ${cell}: skipped, ${why}`),
    ...outcomes.map(({ cell, notes, notJudged = [] }) => {
      const rules = notJudged.map((rule) => `\`${rule}\``).join(", ");
      return `- ${cell}: ${[...notes, ...(rules === "" ? [] : [`not judged by ${rules}`])].join("; ")}`;
    }),
    ...outcomes.flatMap(({ failure }) => (failure === undefined ? [] : ["", "```", failure, "```"])),
    "",
  ].join("\n");
}

export function isBad({ violations }: Pick<Outcome, "violations">): boolean {
  return violations > 0;
}

/** The shortest history of a cell that failed, and how to have it again. */
export function failureText(
  { cell, verdict, faultsFound }: Outcome,
  { seed, full }: Pick<Run, "seed" | "full">,
): string {
  const again = `node test/faults/main.ts --only ${cell} --seed ${seed}${full ? " --full" : ""}`;
  const shortest = [...(verdict?.violations ?? [])].sort((a, b) => a.history.length - b.history.length);
  const histories = verdict === undefined || shortest.length === 0 ? [] : [onlyThese(verdict, shortest)];
  return [`${cell}: repeat it with: ${again}`, ...faultsFound, ...histories].join("\n");
}

/** The table of the rules would hide the one thing that matters. */
function onlyThese(verdict: NonNullable<Outcome["verdict"]>, violations: Violation[]): string {
  const text = verdictText({ ...verdict, violations: onePerRule(violations) });
  return text.slice(text.indexOf("\n\n", text.indexOf("not judged"))).trim();
}

function onePerRule(violations: Violation[]): Violation[] {
  return [...new Map(violations.toReversed().map((one) => [one.rule, one])).values()];
}
