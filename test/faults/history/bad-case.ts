/** Runs that went well, with one line changed; and what a rule shows of them. */
import { checkHistory, type Violation } from "./check.ts";
import type { CallRecord, Item, Op } from "./record.ts";
import type { EventVersion, FinalRow, JobVersion, ResultVersion, RowVersion } from "./rows.ts";
import { SampleRun } from "./sample-run.ts";
import type { Options } from "./violation.ts";

/** What there is to change: copies, so that a change of one version leaves the others alone. */
export interface Written {
  records: CallRecord[];
  versions: RowVersion[];
  final: FinalRow[];
  glimpses?: FinalRow[][];
}

export interface BadCase {
  rule: string;
  name: string;
  /** What happens, and happens well. */
  run: (run: SampleRun) => void;
  /** What is changed of it. */
  spoil: (written: Written) => void;
  options?: Partial<Options>;
  /** The shortest history, each line as `who: what`, without its facts. */
  shown: string[];
}

export function written(make: (run: SampleRun) => void): Written {
  const run = new SampleRun();
  make(run);
  return structuredClone({ records: run.records, versions: run.versions, final: run.final() });
}

export function violationsOf({ records, ...rows }: Written, options: Partial<Options> = {}): Violation[] {
  return checkHistory(records, rows, options).violations;
}

/** Lines without ids, times and facts. */
export function shownOf({ history }: Violation): string[] {
  return history.map(({ who, text }) => `${who}: ${text.split(/ ?[{,]/)[0]}`);
}

/** A job that is dispatched, claimed, kept alive and done. */
export function oneDone(run: SampleRun): void {
  run.dispatch("a");
  const lease = run.claim("a", "w1");
  if (lease === undefined) return;
  run.heartbeat(lease);
  run.report(lease, "DONE");
}

/** Lost by one worker, whose late report is refused, and done by another. */
export function oneReclaimed(run: SampleRun): void {
  run.dispatch("a");
  const late = run.claim("a", "w1");
  run.pass(70_000_000);
  run.reclaim();
  const lease = run.claim("a", "w2");
  if (late === undefined || lease === undefined) return;
  run.report(late, "DONE");
  run.report(lease, "DONE", { result: '{"ok":2}' });
}

export function jobRows({ versions }: Written): JobVersion[] {
  return versions.filter((row): row is JobVersion => row.table === "job");
}

/** The nth version of the only job, from 0 on; from the end with negative numbers. */
export function jobRow(all: Written, nth: number): JobVersion {
  return jobRows(all).at(nth) as JobVersion;
}

export function eventRows({ versions }: Written): EventVersion[] {
  return versions.filter((row): row is EventVersion => row.table === "event");
}

export function resultRow({ versions }: Written): ResultVersion {
  return versions.find((row): row is ResultVersion => row.table === "result") as ResultVersion;
}

/** The only item of the nth record of this operation and phase. */
export function itemOf({ records }: Written, op: CallRecord["op"], phase: CallRecord["phase"], nth = 0): Item {
  return records.filter((record) => record.op === op && record.phase === phase).at(nth)?.items?.[0] as Item;
}

export function without<T>(list: T[], one: T | undefined): void {
  if (one !== undefined) list.splice(list.indexOf(one), 1);
}

/** For a case's spoil: of no call of this kind is anything written down. */
export function unheard(op: Op): BadCase["spoil"] {
  return ({ records }) => {
    for (const record of records.filter((one) => one.op === op)) without(records, record);
  };
}
