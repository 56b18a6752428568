/** What a rule answers with: the promise that was broken, and the few lines that show it. */
import { ALL_KINDS } from "../../../src/job/events.ts";
import type { RetentionMode } from "../../../src/store/prune.ts";
import type { Act, JobHistory, Step } from "./history.ts";
import type { CallRecord, Op } from "./record.ts";
import type { EventVersion, FinalRow, JobVersion, ResultVersion } from "./rows.ts";

export interface Options {
  /** The process and database clocks may differ by so much, where they are compared. */
  slackUs: number;
  /** Rows of event kinds that the brokers do not keep are not missed; those of an end are always kept. */
  keptKinds: ReadonlySet<string>;
  /** The backoff's settings, as the brokers have them. */
  backoff: { baseMs: number; maxMs: number };
  cancelGraceMs: number;
  maxDeliveries: number;
  /** Faults have ended, a worker lives and the queue was waited for: all jobs must have ended. */
  drained: boolean;
  /** Processes (the name before the pid) that were to be told each event of these kinds, and had the time to be. */
  subscribers: { name: string; kinds: readonly string[] }[];
  /** No broker and no line to its database has failed: what a broker has to do, it does. */
  brokersLive: boolean;
  /** What takes ended jobs away, if anything. */
  retention: RetentionMode | null;
  /** Calls that a client of the run makes by itself, such as the SDK's heartbeats: they may have come at any time. */
  unrecorded: readonly Op[];
  /** Rules that this run cannot be held to. */
  skip: readonly string[];
}

export const DEFAULTS: Options = {
  slackUs: 5_000,
  keptKinds: ALL_KINDS,
  backoff: { baseMs: 2_000, maxMs: 120_000 },
  cancelGraceMs: 30_000,
  maxDeliveries: 20,
  drained: true,
  subscribers: [],
  brokersLive: false,
  retention: null,
  unrecorded: [],
  skip: [],
};

/** A piece of evidence: a call as one process saw it, a step of the job, a row. */
export type Evidence = Act | Step | ResultVersion | EventVersion | FinalRow | CallRecord;

export interface Broken {
  job: string;
  what: string;
  /** Lines in time order. */
  history: Line[];
}

export interface Line {
  /** µs since 1970; Infinity: at the end. */
  at: number;
  who: string;
  text: string;
}

export interface Rule {
  name: string;
  /** The number in the table of invariants that it holds. */
  invariant: number;
  says: string;
  check: (history: JobHistory, options: Options) => Broken[];
}

/** A rule about the run as a whole. */
export interface RunRule extends Omit<Rule, "check"> {
  checkAll: (run: Run, options: Options) => Broken[];
}

export interface Run {
  histories: Map<string, JobHistory>;
  records: CallRecord[];
  final: FinalRow[];
  /** Rows that did not agree at some moments of the run. */
  glimpses: FinalRow[][];
}

export function broken(job: string, what: string, ...evidence: (Evidence | undefined)[]): Broken {
  const lines = evidence.flatMap((one) => (one === undefined ? [] : linesOf(one)));
  const unique = new Map(lines.map((line) => [`${line.at} ${line.who} ${line.text}`, line]));
  return { job, what, history: [...unique.values()].sort((a, b) => a.at - b.at) };
}

function linesOf(one: Evidence): Line[] {
  if ("records" in one) return one.records.map((record) => callLine(record, [one.asked?.job, one.answer?.job]));
  if ("phase" in one) return [callLine(one)];
  if ("move" in one && "to" in one) return [stepLine(one)];
  if ("nth" in one) {
    return [
      one.table === "event"
        ? { at: one.at, who: "database", text: `event ${one.seq} ${one.event}, attempt ${one.attempt}, in ${one.tx}` }
        : { at: one.at, who: "database", text: `${one.change} result ${one.result ?? "null"}, in ${one.tx}` },
    ];
  }
  const { table, at, ...facts } = one as FinalRow;
  const text = `${table} ${JSON.stringify(facts)}`;
  return [at === undefined ? { at: Number.POSITIVE_INFINITY, who: "final", text } : { at, who: "database", text }];
}

function callLine(record: CallRecord, jobs?: (string | undefined)[]): Line {
  const items = (record.items ?? []).filter((item) => jobs === undefined || jobs.includes(item.job));
  const facts = items.map((item) => JSON.stringify(item)).join(" ");
  const by = record.worker === undefined ? "" : ` as ${record.worker}`;
  const note = record.note === undefined ? "" : ` (${record.note})`;
  return { at: record.at, who: record.process, text: `${record.op}${by} ${record.phase}${note} ${facts}`.trimEnd() };
}

function stepLine({ from, to, move }: Step): Line {
  const was = to.was ?? from?.status ?? "nothing";
  const token = to.token ?? to.settledToken ?? from?.token;
  const facts = [`attempt ${to.attempt}`, `event_seq ${to.eventSeq}`, ...(token ? [`token ${token}`] : [])];
  const lease = to.expiresAt !== null && to.status === "RUNNING" ? [`until ${to.expiresAt}`] : [];
  return {
    at: to.at,
    who: "database",
    text: `${move}: ${was} → ${stateOf(to)}, ${[...facts, ...lease, `in ${to.tx}`].join(", ")}`,
  };
}

function stateOf(to: JobVersion): string {
  return to.change === "DELETE" ? "gone" : to.status;
}
