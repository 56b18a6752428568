/**
 * Judges a run of the fault programme: what its processes were told, beside what the database did. Pure. Each rule
 * holds one of the invariants of the design, and answers with the fewest lines that show where it was broken.
 *
 * A call of which nobody knows whether it happened counts as whichever fits: it may be the cause of a step that nothing
 * else can have caused, and is missed nowhere. It excuses nothing that it cannot have done: a report explains the end of
 * its own lease, with its own status and result, and nothing before it was sent.
 */
import { historiesOf } from "./history.ts";
import type { CallRecord } from "./record.ts";
import type { FinalRow, RowVersion } from "./rows.ts";
import { EVENT_RULES } from "./rules-events.ts";
import { LEASE_RULES } from "./rules-leases.ts";
import { LIFE_RULES } from "./rules-life.ts";
import { END_RULES, RUN_RULES } from "./rules-run.ts";
import { SETTLE_RULES } from "./rules-settle.ts";
import { type Broken, DEFAULTS, type Line, type Options, type Rule, type RunRule } from "./violation.ts";

export const RULES: readonly (Rule | RunRule)[] = [
  ...END_RULES,
  ...RUN_RULES,
  ...LEASE_RULES,
  ...SETTLE_RULES,
  ...LIFE_RULES,
  ...EVENT_RULES,
].sort((a, b) => a.invariant - b.invariant);

/** Invariants that no history of jobs can decide, and who decides them. */
export const NOT_JUDGED: readonly { invariant: number; why: string }[] = [
  {
    invariant: 10,
    why: "how long a job may wait depends on the load and the faults of a run; bench/ and test/dispatch measure it",
  },
  { invariant: 15, why: "starts of EC2 instances are no part of a job's life; test/loops/ec2*.test.ts count them" },
  { invariant: 17, why: "memory, connections and streams are measured on the processes, not told to clients" },
];

export interface Violation extends Broken {
  rule: string;
  invariant: number;
  /** How often the rule was broken for this job; the history is the shortest of them. */
  times: number;
}

export interface Verdict {
  violations: Violation[];
  /** For each rule: how many jobs it was held to, and how many broke it. */
  rules: { name: string; invariant: number; looked: number; broken: number; skipped: boolean }[];
  jobs: number;
  calls: number;
  unknown: number;
  versions: number;
}

export interface RowHistory {
  versions: RowVersion[];
  final: FinalRow[];
  /** What readTorn found, each time. */
  glimpses?: FinalRow[][];
}

export function checkHistory(records: CallRecord[], rows: RowHistory, more: Partial<Options> = {}): Verdict {
  const options = { ...DEFAULTS, ...more };
  const sorted = [...records].sort((a, b) => a.at - b.at);
  const histories = historiesOf(sorted, rows.versions, rows.final);
  const run = { histories, records: sorted, final: rows.final, glimpses: rows.glimpses ?? [] };
  const violations: Violation[] = [];
  const rules = RULES.map((rule) => {
    const skipped = options.skip.includes(rule.name);
    const found = skipped
      ? []
      : "check" in rule
        ? [...histories.values()].flatMap((one) => rule.check(one, options))
        : rule.checkAll(run, options);
    const shortest = shortestByJob(rule, found);
    violations.push(...shortest);
    return {
      name: rule.name,
      invariant: rule.invariant,
      looked: skipped ? 0 : histories.size,
      broken: shortest.length,
      skipped,
    };
  });
  const unknown =
    sorted.filter(({ phase }) => phase === "invoke").length -
    sorted.filter(({ phase }) => phase === "ok" || phase === "fail").length;
  return {
    violations,
    rules,
    jobs: histories.size,
    calls: sorted.filter(({ phase }) => phase === "invoke").length,
    unknown,
    versions: rows.versions.length,
  };
}

function shortestByJob({ name, invariant }: { name: string; invariant: number }, found: Broken[]): Violation[] {
  const byJob = new Map<string, Violation>();
  for (const one of found) {
    const known = byJob.get(one.job);
    const times = (known?.times ?? 0) + 1;
    const shorter = known === undefined || one.history.length < known.history.length ? one : known;
    byJob.set(one.job, { ...shorter, rule: name, invariant, times });
  }
  return [...byJob.values()].sort((a, b) => endOf(a.history) - endOf(b.history));
}

function endOf(history: Line[]): number {
  return history.at(-1)?.at ?? 0;
}
