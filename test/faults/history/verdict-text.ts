/** A verdict for people: a table of the rules, then the shortest history of each job that broke one. */
import { NOT_JUDGED, RULES, type Verdict, type Violation } from "./check.ts";
import type { Line } from "./violation.ts";

/** Violations of one rule that are written out; the table counts all. */
const MOST_SHOWN = 5;

export function verdictText(verdict: Verdict): string {
  const { jobs, calls, unknown, versions, violations } = verdict;
  const counts = `${jobs} jobs, ${calls} calls (${unknown} of unknown outcome), ${versions} row versions`;
  const width = Math.max(...verdict.rules.map(({ name }) => name.length));
  const table = verdict.rules.map(({ name, invariant, looked, broken, skipped }) => {
    const outcome = skipped ? "skipped" : broken === 0 ? "ok" : `${broken} BROKEN`;
    return `${String(invariant).padStart(3)}  ${name.padEnd(width)}  ${String(looked).padStart(7)}  ${outcome}`;
  });
  const aside = NOT_JUDGED.map(({ invariant, why }) => `${String(invariant).padStart(3)}  not judged: ${why}`);
  const head = `inv  ${"rule".padEnd(width)}  ${"jobs".padStart(7)}  outcome`;
  const end = violations.length === 0 ? "No rule is broken." : violationsText(violations);
  return [counts, "", head, ...table, ...aside, "", end, ""].join("\n");
}

function violationsText(violations: Violation[]): string {
  const shown = RULES.flatMap(({ name }) => violations.filter(({ rule }) => rule === name).slice(0, MOST_SHOWN));
  return shown.map(violationText).join("\n\n");
}

function violationText({ rule, invariant, job, what, times, history }: Violation): string {
  const says = RULES.find(({ name }) => name === rule)?.says;
  const again = times > 1 ? ` (${times} times; this is the shortest)` : "";
  return [`${rule} (invariant ${invariant}): ${says}`, `  job ${job}: ${what}${again}`, ...history.map(lineText)].join(
    "\n",
  );
}

function lineText({ at, who, text }: Line): string {
  const time = Number.isFinite(at) ? new Date(at / 1_000).toISOString().slice(11, 23) : "the end".padEnd(12);
  return `    ${time}  ${who.padEnd(16)}  ${text}`;
}
