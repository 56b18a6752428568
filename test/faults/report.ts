/** What is said of a run: a table for people, the same for machines, and the shortest history of what went wrong. */
import { commitLine, machineLine } from "../../bench/harness/machine.ts";
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

function row(outcome: Outcome): string[] {
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

export function reportMarkdown(run: Run): string {
  const cells = run.outcomes.map((outcome) => `| ${row(outcome).join(" | ")} |`);
  const kind = run.full ? "full" : "quick";
  return [
    "# The fault programme",
    "",
    `${kind} run, seed ${run.seed}, commit ${commitLine()}, on ${machineLine(run.postgres)}.`,
    "",
    `| ${HEAD.join(" | ")} |`,
    `| --- |${" ---: |".repeat(HEAD.length - 1)}`,
    ...cells,
    "",
    ...run.skipped.map(({ cell, why }) => `- ${cell}: skipped, ${why}`),
    ...run.outcomes.flatMap(({ cell, notes }) => `- ${cell}: ${notes.join("; ")}`),
    ...run.outcomes.filter(isBad).flatMap((outcome) => ["", "```", failureText(outcome, run), "```"]),
    "",
  ].join("\n");
}

export function reportJson(run: Run): object {
  const { seed, full, skipped } = run;
  const outcomes = run.outcomes.map(({ verdict, ...outcome }) => ({ ...outcome, broken: verdict?.violations ?? [] }));
  return { seed, full, commit: commitLine(), machine: machineLine(run.postgres), outcomes, skipped };
}

export function isBad({ violations }: Outcome): boolean {
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
