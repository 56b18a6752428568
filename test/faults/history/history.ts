/** A run, sorted by job: what was asked and told about it, and each version of its rows with the move that made it. */
import { isTerminal, type Status } from "../../../src/job/status.ts";
import type { CallRecord, Item, Op } from "./record.ts";
import type { EventVersion, FinalRow, JobVersion, ResultVersion, RowVersion } from "./rows.ts";

/** A call as far as it is about one job. */
export interface Act {
  op: Op;
  process: string;
  worker: string | null;
  instance: string | null;
  asked: Item | null;
  /** Null unless it was answered. */
  answer: Item | null;
  outcome: "ok" | "fail" | "unknown";
  began: number;
  /** Infinity: nobody knows whether it is over. */
  ended: number;
  /** How often it may have been sent. */
  sent: number;
  records: CallRecord[];
}

export type FinalJob = Extract<FinalRow, { table: "job" }>;

/** claim: also a hand-off at dispatch, whose `from` is undefined. release: also a return of the broker's. */
export type MoveName =
  | "dispatch"
  | "claim"
  | "beat"
  | "ask"
  | "report"
  | "release"
  | "reclaim"
  | "legacy"
  | "publish"
  | "cancelled"
  | "exhaust"
  | "cancel"
  | "retry"
  | "prune"
  | "touch"
  | "unknown";

/** From one version of a job to the next. */
export interface Step {
  from: JobVersion | undefined;
  to: JobVersion;
  move: MoveName;
}

/** A Work stream that begins, and what its worker says that it still has. */
export interface Hello {
  instance: string;
  began: number;
  items: Item[];
}

/** A Claim that was sent before with the same request_id, so that it may find the leases of an earlier try. */
export interface Repeat {
  worker: string;
  /** As the records name it. */
  request: string;
  /** When another one of the request was sent first: a lease of before then is not one that this call can have found. */
  firstAt: number;
  began: number;
  /** Infinity: nobody knows whether it is over. */
  ended: number;
}

export interface JobHistory {
  job: string;
  /** All of the run: a claim names no job, and where its answer was lost nobody knows of which it was. */
  repeats: Repeat[];
  /** All of the run: who comes back without a job does not name it. */
  hellos: Hello[];
  acts: Act[];
  steps: Step[];
  results: ResultVersion[];
  events: EventVersion[];
  /** Undefined: not in the tables at the end. */
  final: FinalJob | undefined;
}

/** Sorts a run by job; all jobs that anybody has named. */
export function historiesOf(records: CallRecord[], rows: RowVersion[], final: FinalRow[]): Map<string, JobHistory> {
  const histories = new Map<string, JobHistory>();
  const hellos = records.flatMap(({ op, phase, instance, at, items = [] }) =>
    op === "hello" && phase === "invoke" && instance !== undefined ? [{ instance, began: at, items }] : [],
  );
  const calls = callsOf(records);
  const repeats = repeatsOf(calls);
  const of = (job: string) => {
    const known = histories.get(job);
    if (known !== undefined) return known;
    const fresh: JobHistory = { job, hellos, repeats, acts: [], steps: [], results: [], events: [], final: undefined };
    histories.set(job, fresh);
    return fresh;
  };
  for (const act of actsOf(records, calls)) of(jobOf(act)).acts.push(act);
  const versions = new Map<string, JobVersion[]>();
  for (const row of [...rows].sort((a, b) => a.nth - b.nth)) {
    const history = of(row.job);
    if (row.table === "result") history.results.push(row);
    else if (row.table === "event") history.events.push(row);
    else {
      const list = versions.get(row.job);
      if (list === undefined) versions.set(row.job, [row]);
      else list.push(row);
    }
  }
  for (const [job, list] of versions) {
    const history = of(job);
    const put = new Set(history.results.filter(({ change }) => change !== "DELETE").map(({ tx }) => tx));
    history.steps = list.map((to, at) => {
      const from = to.change === "INSERT" ? undefined : list[at - 1];
      return { from, to, move: moveOf(from, to, put.has(to.tx)) };
    });
  }
  for (const row of final) if (row.table === "job") of(row.job).final = row;
  for (const { acts, steps } of histories.values()) {
    acts.sort((a, b) => a.began - b.began);
    markPublished(steps, acts);
  }
  return histories;
}

function repeatsOf(calls: readonly Call[]): Repeat[] {
  const claims = calls.flatMap(({ invoke: { op, worker, note: request, at }, end }) => {
    if (op !== "claim" || request === undefined || worker === undefined) return [];
    const ended = end === undefined || end.phase === "unknown" ? Number.POSITIVE_INFINITY : end.at;
    return [{ worker, request, began: at, ended, sent: end?.sent ?? 1 }];
  });
  // A broker that was held up may come to the first one last.
  return [...Map.groupBy(claims, ({ worker, request }) => JSON.stringify([worker, request])).values()].flatMap((all) =>
    all.flatMap(({ sent, ...claim }) => {
      const others = all.filter(({ began }) => began !== claim.began).map(({ began }) => began);
      if (others.length === 0 && sent === 1) return [];
      return [{ ...claim, firstAt: Math.min(...others, ...(sent > 1 ? [claim.began] : [])) }];
    }),
  );
}

/** The job that it turned out to be about: a dispatch by a known key is answered with another id. */
function jobOf({ asked, answer }: Act): string {
  return answer?.job ?? asked?.job ?? "";
}

interface Call {
  invoke: CallRecord;
  end: CallRecord | undefined;
}

/** In the order in which they began. */
function callsOf(records: readonly CallRecord[]): Call[] {
  const calls = new Map<string, Call>();
  for (const record of records) {
    const name = `${record.process} ${record.call}`;
    const call = calls.get(name);
    if (record.phase === "invoke") calls.set(name, { invoke: record, end: undefined });
    else if (record.phase !== "told" && call !== undefined) call.end = record;
  }
  return [...calls.values()];
}

function actsOf(records: readonly CallRecord[], calls: readonly Call[]): Act[] {
  const told = records.filter(({ phase }) => phase === "told");
  const acts = told.flatMap((record) =>
    (record.items ?? []).map((answer): Act => ({ ...toAct(record, record), asked: null, answer })),
  );
  for (const { invoke, end } of calls) {
    const asked = invoke.items ?? [];
    const answers = end?.phase === "ok" ? (end.items ?? []) : [];
    const act = toAct(invoke, end);
    for (const [at, item] of asked.entries()) acts.push({ ...act, asked: item, answer: answers[at] ?? null });
    // A claim asks for no job by name.
    if (asked.length === 0) for (const answer of answers) acts.push({ ...act, asked: null, answer });
  }
  return acts;
}

function toAct(invoke: CallRecord, end: CallRecord | undefined): Omit<Act, "asked" | "answer"> {
  const outcome = end === undefined || end.phase === "unknown" ? "unknown" : end.phase === "fail" ? "fail" : "ok";
  return {
    op: invoke.op,
    process: invoke.process,
    worker: invoke.worker ?? null,
    instance: invoke.instance ?? null,
    outcome,
    began: invoke.at,
    ended: outcome === "unknown" ? Number.POSITIVE_INFINITY : (end as CallRecord).at,
    sent: end?.sent ?? 1,
    records: end === undefined || end === invoke ? [invoke] : [invoke, end],
  };
}

/** Processes tell the time by the ms. */
const GRAIN_US = 1_000;

/**
 * Each publish of Django's puts a job back once at most that was claimed, or has even ended, since its insert: due from that
 * moment on, with its attempts as they are and no token settled. What a move of ours may have done is that move.
 */
function markPublished(steps: Step[], acts: Act[]): void {
  for (const { op, began, ended } of acts) {
    if (op !== "publish") continue;
    const step = steps.find(({ from, to, move }) => {
      // Where the insert and the publish share a ms, next_run_at stays and it looks like a reclaim.
      const isLike = move === "legacy" || move === "reclaim" || (move === "retry" && from?.attempt === to.attempt);
      if (!isLike || to.attempt === 0) return false;
      const isDuring = began <= to.at && to.at <= ended + GRAIN_US;
      const isDueAtOnce = to.nextRunAt >= began - GRAIN_US && to.nextRunAt <= to.at;
      return isDuring && isDueAtOnce && to.status === "PENDING" && to.settledToken === null;
    });
    if (step !== undefined) step.move = "publish";
  }
}

/** Which move leaves such a row, going by what only that move writes. */
function moveOf(from: JobVersion | undefined, to: JobVersion, resultPut: boolean): MoveName {
  if (to.change === "DELETE") return "prune";
  if (from === undefined) return to.status === "PENDING" ? "dispatch" : to.status === "RUNNING" ? "claim" : "unknown";
  const [was, is] = [from.status, to.status];
  if (was === is && from.token === to.token) {
    if (to.cancelRequestedAt !== from.cancelRequestedAt) return "ask";
    return to.heartbeatAt !== from.heartbeatAt || to.expiresAt !== from.expiresAt ? "beat" : "touch";
  }
  if (isTerminal(was)) return is === "PENDING" ? "retry" : "unknown";
  if (is === "RUNNING") return "claim";
  if (was === "PENDING") return is === "CANCELLED" ? "cancel" : is === "FAILED" ? "exhaust" : "legacy";
  return endOf(from, to, resultPut);
}

function endOf(from: JobVersion, to: JobVersion, resultPut: boolean): MoveName {
  if (to.settledToken !== null && to.settledAs !== "CANCELLED") return "report";
  if (to.returns > from.returns) return "release";
  if (to.status === "CANCELLED") return "cancelled";
  const legacy = to.status === "DONE" || resultPut || to.nextRunAt !== from.nextRunAt;
  return legacy ? "legacy" : "reclaim";
}

/** Whether the call may have done it: it was told one of these, or nobody knows, or an earlier try of it may have. */
export function mayHave(act: Act, ...told: string[]): boolean {
  if (act.outcome !== "ok") return act.outcome === "unknown";
  return act.sent > 1 || told.includes(act.answer?.status ?? "");
}

/** What the call was told, if it was answered for sure; nothing where it asked for no job by name. */
export function toldOf(act: Act): string | undefined {
  return act.outcome === "ok" && act.asked !== null ? act.answer?.status : undefined;
}

export function tokenOf(act: Act): string | undefined {
  return act.asked?.token ?? act.answer?.token;
}

/** Whether the step was made while the call was under way, as far as the clocks tell. */
export function isDuring({ to }: Step, act: Act, slackUs: number): boolean {
  // Of one that was sent several times an earlier answer may have been lost.
  return to.now <= act.ended + slackUs && (act.sent > 1 || to.at + slackUs >= act.began);
}

/** A step that takes the job from one state to another, or begins it. */
export function isTransition({ from, to }: Step): boolean {
  return to.change !== "DELETE" && (from === undefined || from.status !== to.status || from.token !== to.token);
}

export function ends(status: Status | undefined): boolean {
  return status !== undefined && isTerminal(status);
}
