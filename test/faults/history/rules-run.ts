/** Rules about what producers were promised, and about how all looks at the end. */
import { isTerminal } from "../../../src/job/status.ts";
import { type Act, type JobHistory, type Step, toldOf } from "./history.ts";
import type { CallRecord } from "./record.ts";
import type { FinalRow } from "./rows.ts";
import { type Broken, broken, type Options, type Rule, type Run, type RunRule } from "./violation.ts";

export const END_RULES: readonly Rule[] = [
  {
    name: "acknowledged-dispatch-survives",
    invariant: 1,
    says: "a job whose dispatch was answered is there, or was taken away by retention after its end",
    check: lostDispatch,
  },
  {
    name: "created-once",
    invariant: 1,
    says: "one dispatch of a job is told that it has made it",
    check: createdTwice,
  },
  {
    name: "every-job-ends",
    invariant: 9,
    says: "once faults end and a worker lives, every job ends",
    check: unended,
  },
  {
    name: "final-is-the-last-version",
    invariant: 14,
    says: "at the end each job stands as its last version says, and none is there or gone without one",
    check: otherEnd,
  },
];

export const RUN_RULES: readonly RunRule[] = [
  {
    name: "one-job-per-key",
    invariant: 1,
    says: "an idempotency key names one job, as long as that job is there",
    checkAll: keys,
  },
  {
    name: "claim-within-limit",
    invariant: 11,
    says: "a claim answers with as many jobs as were asked for at most, each once",
    checkAll: limits,
  },
  {
    name: "seats-are-kept",
    invariant: 11,
    says: "no instance has more jobs from its streams at a time than it has ever said it takes",
    checkAll: overruns,
  },
  {
    name: "state-tables-agree",
    invariant: 7,
    says: "ai_ready has the PENDING jobs, ai_lease the RUNNING ones, ai_result none that waits or runs, at any moment",
    checkAll: ({ final, glimpses }) => [final, ...glimpses].flatMap(drift),
  },
];

const isStored = (act: Act): boolean =>
  act.op === "dispatch" && act.outcome === "ok" && ["CREATED", "KNOWN"].includes(act.answer?.status ?? "");

function lostDispatch({ job, acts, steps, final }: JobHistory, { retention }: Options): Broken[] {
  const act = acts.find(isStored);
  const gone = steps.at(-1);
  if (act === undefined || final !== undefined) return [];
  const taken = gone?.to.change === "DELETE";
  if (taken && retention !== null && isTerminal(gone.to.status)) return [];
  return [broken(job, taken ? "it was taken away" : "it is not there", act, taken ? gone : undefined)];
}

function createdTwice({ job, acts, steps }: JobHistory): Broken[] {
  const [first, second] = acts.filter((act) => toldOf(act) === "CREATED");
  const gone = steps.some(({ to }) => to.change === "DELETE");
  return second === undefined || gone ? [] : [broken(job, "two dispatches were told that they made it", first, second)];
}

function unended({ job, steps, final }: JobHistory, { drained }: Options): Broken[] {
  if (!drained || final === undefined || isTerminal(final.status)) return [];
  return [broken(job, `it is ${final.status} for ever`, steps.at(-1), final)];
}

function otherEnd({ job, steps, final }: JobHistory): Broken[] {
  const last = steps.at(-1);
  const there = last !== undefined && last.to.change !== "DELETE";
  if (!there) return final === undefined ? [] : [broken(job, "it is there, and no version of it", last, final)];
  const { status, attempt, token, eventSeq } = last.to;
  if (final === undefined) return [broken(job, "it is gone, and nobody took it", last)];
  const same =
    final.status === status && final.attempt === attempt && final.token === token && final.eventSeq === eventSeq;
  return same ? [] : [broken(job, "it is not what its last move made of it", last, final)];
}

function keys({ histories }: Run): Broken[] {
  const first = new Map<string, Act>();
  const found: Broken[] = [];
  const stored = [...histories.values()].flatMap(({ acts }) => acts.filter(isStored)).sort((a, b) => a.ended - b.ended);
  for (const act of stored) {
    if (act.asked?.key === undefined) continue;
    const key = JSON.stringify([act.asked.tenant ?? "", act.asked.key]);
    const job = act.answer?.job ?? act.asked.job;
    const before = first.get(key);
    const known = before?.answer?.job ?? before?.asked?.job;
    const gone = known !== undefined && histories.get(known)?.steps.some(({ to }) => to.change === "DELETE");
    if (before === undefined || gone) first.set(key, act);
    else if (known !== job)
      found.push(broken(job, `key ${act.asked.key} was answered with ${known} and ${job}`, before, act));
  }
  return found;
}

function limits({ records }: Run): Broken[] {
  const asked = new Map<string, number>();
  const found: Broken[] = [];
  for (const record of records) {
    if (record.op !== "claim") continue;
    const call = `${record.process} ${record.call}`;
    if (record.phase === "invoke" && record.limit !== undefined) asked.set(call, record.limit);
    const jobs = (record.items ?? []).map(({ job }) => job);
    const limit = asked.get(call) ?? Number.POSITIVE_INFINITY;
    if (record.phase !== "ok" || (jobs.length <= limit && new Set(jobs).size === jobs.length)) continue;
    const invoke = records.find(
      (one) => one.phase === "invoke" && one.process === record.process && one.call === record.call,
    );
    found.push(
      broken(
        jobs[0] ?? "",
        `${jobs.length} jobs, ${new Set(jobs).size} different, where ${limit} were asked for`,
        invoke,
        record,
      ),
    );
  }
  return found;
}

/** A lease that a worker was told of on a stream, and when it was the job's: in the order of the database. */
interface Pushed {
  record: CallRecord;
  grant: Step;
  from: number;
  until: number;
}

function overruns({ histories, records }: Run): Broken[] {
  const byInstance = new Map<string, Map<string, Pushed>>();
  for (const record of records.filter(({ op, limit }) => op === "push" && limit !== undefined)) {
    const leases = byInstance.get(record.instance ?? "") ?? new Map<string, Pushed>();
    byInstance.set(record.instance ?? "", leases);
    for (const { job, token } of record.items ?? []) {
      const steps = histories.get(job)?.steps ?? [];
      const first = steps.findIndex(({ to }) => to.token === token);
      const grant = steps[first];
      if (grant === undefined || token === undefined || leases.has(token)) continue;
      const after = steps.slice(first).find(({ to }) => to.token !== token);
      leases.set(token, { record, grant, from: grant.to.nth, until: after?.to.nth ?? Number.POSITIVE_INFINITY });
    }
  }
  return [...byInstance.values()].flatMap((leases) => overrunsOf([...leases.values()]));
}

function overrunsOf(leases: Pushed[]): Broken[] {
  const found: Broken[] = [];
  let open: Pushed[] = [];
  for (const one of leases.sort((a, b) => a.from - b.from)) {
    open = [...open.filter(({ until }) => until > one.from), one];
    const { record, grant } = one;
    if (open.length <= (record.limit ?? 0)) continue;
    const what = `${record.worker} takes ${record.limit} jobs at a time, and had ${open.length}`;
    found.push(broken(grant.to.job, what, ...open.map((other) => other.grant), record));
  }
  return found;
}

function drift(rows: FinalRow[]): Broken[] {
  const of = <T extends FinalRow["table"]>(table: T) =>
    rows.filter((row): row is Extract<FinalRow, { table: T }> => row.table === table);
  const jobs = new Map(of("job").map((job) => [job.id, job]));
  const ready = new Set<number>();
  const found: Broken[] = [];
  const add = (id: number, what: string, ...rows: (FinalRow | undefined)[]) =>
    found.push(broken(jobs.get(id)?.job ?? `#${id}`, what, ...rows));
  for (const row of of("ready")) {
    const job = jobs.get(row.id);
    const same =
      job?.status === "PENDING" &&
      job.type === row.type &&
      job.priority === row.priority &&
      job.nextRunAt === row.nextRunAt;
    if (!same || ready.has(row.id)) add(row.id, "a row of ai_ready that no job is behind", job, row);
    ready.add(row.id);
  }
  const leases = new Set(of("lease").map(({ id }) => id));
  for (const row of of("lease")) {
    if (jobs.get(row.id)?.status !== "RUNNING")
      add(row.id, "a row of ai_lease that no job is behind", jobs.get(row.id), row);
  }
  const results = new Set(of("result").map(({ id }) => id));
  for (const job of jobs.values()) {
    if (job.status === "PENDING" && !ready.has(job.id)) add(job.id, "it waits and is not in ai_ready", job);
    if (job.status === "RUNNING" && !leases.has(job.id)) add(job.id, "it runs and is not in ai_lease", job);
    if (job.status === "DONE" && !results.has(job.id)) add(job.id, "it is DONE and has no result row", job);
  }
  for (const row of of("result")) {
    const job = jobs.get(row.id);
    if (job === undefined || !isTerminal(job.status)) add(row.id, "a result row of a job that has not ended", job, row);
  }
  return found;
}
