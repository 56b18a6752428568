/** Rules about a job's life: its states, its attempts, its times, its cancel and its retry. */
import { isLegal, MOVES, type Move } from "../../../src/job/lifecycle.ts";
import { backoffMs } from "../../../src/job/retry.ts";
import { isTerminal } from "../../../src/job/status.ts";
import { type Act, isDuring, isTransition, type JobHistory, mayHave, type Step, toldOf } from "./history.ts";
import { type Broken, broken, type Options, type Rule } from "./violation.ts";

export const LIFE_RULES: readonly Rule[] = [
  {
    name: "history-is-whole",
    invariant: 7,
    says: "each version of a job begins where the one before ended",
    check: gaps,
  },
  {
    name: "legal-transitions",
    invariant: 7,
    says: "a move takes a job only where job/lifecycle.ts lets it, and a token is there if and only if the job runs",
    check: illegal,
  },
  {
    name: "ended-stays-ended",
    invariant: 7,
    says: "an ended job starts again only when an operator asked for it",
    check: reopened,
  },
  {
    name: "attempts-count-claims",
    invariant: 6,
    says: "an attempt is added by a claim, taken off by a release, and none is left by a retry; never above max_attempts",
    check: attempts,
  },
  {
    name: "failed-for-cause",
    invariant: 6,
    says: "without a report a job fails only when its attempts or its deliveries are used up, and goes on until then",
    check: causeless,
  },
  {
    name: "backoff-is-waited",
    invariant: 8,
    says: "a failed attempt is due again after its backoff, not before",
    check: hasty,
  },
  {
    name: "claimed-when-due",
    invariant: 8,
    says: "no job is handed out before its next_run_at",
    check: tooEarly,
  },
  {
    name: "cancel-is-kept",
    invariant: 7,
    says: "an answered cancel or retry is in the job's row",
    check: unkept,
  },
  {
    name: "cancel-is-told",
    invariant: 7,
    says: "a heartbeat that is sent after a cancel is told of it",
    check: untoldCancels,
  },
  {
    name: "cancelled-is-not-worked",
    invariant: 7,
    says: "after a cancel a job is not claimed and its results are not taken, unless it is retried",
    check: worked,
  },
];

function gaps({ job, steps }: JobHistory): Broken[] {
  return steps.flatMap((step, at) => {
    const { to } = step;
    const before = steps[at - 1]?.to;
    if (to.change === "INSERT") {
      const isNew = before === undefined || before.change === "DELETE";
      return isNew ? [] : [broken(job, "it was put twice", steps[at - 1], step)];
    }
    if (before === undefined) return [broken(job, "how it began is not there", step)];
    const seq = before.eventSeq + (isTransition(step) ? 1 : 0);
    // Our moves count themselves in `move`; a DELETE shows the row as it was.
    const isNext = to.change === "DELETE" ? to.move === before.move : to.move - before.move <= 1;
    if (before.status === to.was && isNext && (seq === to.eventSeq || to.change === "DELETE")) return [];
    const was = `${before.status}, event_seq ${before.eventSeq}, move ${before.move}`;
    return [broken(job, `${was} is not what came just before move ${to.move}`, steps[at - 1], step)];
  });
}

const AS_MOVES: Partial<Record<Step["move"], readonly Move[]>> = {
  claim: ["claim"],
  exhaust: ["claim"],
  cancel: ["cancel", "claim", "legacyReport"],
  beat: ["heartbeat"],
  ask: ["cancel"],
  report: ["report"],
  release: ["release"],
  reclaim: ["reclaim"],
  legacy: ["legacyReport"],
  cancelled: ["report", "reclaim", "legacyReport"],
  retry: ["retry"],
};

function illegal({ job, steps }: JobHistory): Broken[] {
  return steps.flatMap((step, at) => {
    const { from, to, move } = step;
    if (to.change === "DELETE")
      return from !== undefined && !isTerminal(from.status) ? [broken(job, `it went away ${from.status}`, step)] : [];
    const moves = AS_MOVES[move];
    const fault =
      from !== undefined &&
      move !== "touch" &&
      move !== "publish" &&
      !moves?.some((one) => isLegal(one, from.status, to.status))
        ? `no move of ${Object.keys(MOVES).length} leads from ${from.status} to ${to.status} like this`
        : from === undefined && to.change === "INSERT" && move === "unknown"
          ? `it began ${to.status}`
          : (to.status === "RUNNING") !== (to.token !== null)
            ? `it is ${to.status} ${to.token === null ? "without a token" : `with token ${to.token}`}`
            : undefined;
    return fault === undefined ? [] : [broken(job, fault, steps[at - 1], step)];
  });
}

function reopened({ job, acts, steps }: JobHistory, { slackUs }: Options): Broken[] {
  return steps.flatMap((step, at) => {
    const { from, to, move } = step;
    if (from === undefined || to.change === "DELETE" || !isTerminal(from.status) || from.status === to.status)
      return [];
    if (move === "publish") return [];
    const asked = acts.some((act) => act.op === "retry" && mayHave(act, "RETRIED") && act.began <= to.at + slackUs);
    if (asked && from.status !== "DONE" && to.status === "PENDING") return [];
    return [broken(job, `it was ${from.status} and is ${to.status} again`, steps[at - 1], step)];
  });
}

function attempts({ job, steps }: JobHistory): Broken[] {
  return steps.flatMap((step, at) => {
    const { from, to, move } = step;
    if (from === undefined && to.change !== "INSERT") return [];
    const before = from?.attempt ?? 0;
    const back = Math.max(0, before - 1);
    const due = move === "claim" ? before + 1 : move === "release" ? back : move === "retry" ? 0 : before;
    const most = to.maxAttempts === 0 ? 5 : to.maxAttempts;
    if (due === to.attempt && to.attempt <= most) return [];
    return [broken(job, `attempt is ${to.attempt}, and should be ${due}, at most ${most}`, steps[at - 1], step)];
  });
}

function causeless({ job, steps }: JobHistory, { maxDeliveries }: Options): Broken[] {
  return steps.flatMap((step, at) => {
    const { from, to, move } = step;
    if (from === undefined || to.status === "CANCELLED") return [];
    if (!["reclaim", "exhaust", "release", "report"].includes(move)) return [];
    const spent = from.attempt >= (from.maxAttempts === 0 ? 5 : from.maxAttempts);
    const fails = to.status === "FAILED";
    const fault =
      move === "release"
        ? fails !== from.returns + 1 >= maxDeliveries && `${to.returns} returns of ${maxDeliveries}`
        : move === "report"
          ? !fails && to.status === "PENDING" && spent && "no attempt was left"
          : fails !== spent && `attempt ${from.attempt} of ${from.maxAttempts}`;
    return fault === false ? [] : [broken(job, `it became ${to.status} although ${fault}`, steps[at - 1], step)];
  });
}

function hasty({ job, acts, steps }: JobHistory, { backoff }: Options): Broken[] {
  return steps.flatMap((step) => {
    const { from, to, move } = step;
    if (from === undefined || to.status !== "PENDING" || (move !== "report" && move !== "legacy")) return [];
    const report = acts.find((act) => act.op === "report" && act.asked?.token === from.token);
    const delayMs = report?.asked?.retryDelayMs ?? backoffMs(from.attempt, { ...backoff, jitter: 0 });
    if (to.nextRunAt >= to.now + delayMs * 1_000) return [];
    return [broken(job, `it is due at ${to.nextRunAt}, ${delayMs} ms after ${to.now} is later`, report, step)];
  });
}

function tooEarly({ job, steps }: JobHistory): Broken[] {
  return steps.flatMap((step, at) => {
    const { from, to, move } = step;
    if (move !== "claim" || to.nextRunAt <= to.now) return [];
    return [broken(job, `it was due at ${to.nextRunAt} and handed out at ${to.now}`, from && steps[at - 1], step)];
  });
}

function unkept({ job, acts, steps }: JobHistory, { slackUs }: Options): Broken[] {
  return acts.flatMap((act) => {
    const told = toldOf(act);
    const inTime = ({ to }: Step) => to.now <= act.ended + slackUs;
    const kept =
      act.op === "cancel" && (told === "CANCELLED" || told === "REQUESTED")
        ? steps.some((step) => inTime(step) && (step.to.cancelRequestedAt !== null || step.to.status === "CANCELLED"))
        : act.op === "retry" && told === "RETRIED"
          ? steps.some((step) => step.move === "retry" && isDuring(step, act, slackUs))
          : true;
    return kept ? [] : [broken(job, `its ${act.op} was answered ${told}, and is nowhere`, act)];
  });
}

function untoldCancels({ job, acts, steps }: JobHistory, { slackUs }: Options): Broken[] {
  return acts.flatMap((act) => {
    if (toldOf(act) !== "CONTINUE") return [];
    const ask = steps.find(
      ({ move, to }) => move === "ask" && to.token === act.asked?.token && to.at + slackUs < act.began,
    );
    return ask === undefined ? [] : [broken(job, `its cancel was requested, and ${act.worker} is to go on`, ask, act)];
  });
}

function worked(history: JobHistory, options: Options): Broken[] {
  const { job, steps } = history;
  const inRows = steps.flatMap((step, at) => {
    const { from, to, move } = step;
    const asked = from?.cancelRequestedAt != null && move !== "retry" && isTransition(step);
    if (!asked || to.status === "CANCELLED") return [];
    const request = steps
      .slice(0, at)
      .findLast((one) => one.from?.cancelRequestedAt == null && one.to.cancelRequestedAt !== null);
    return [broken(job, `its cancel was requested, and it became ${to.status}`, request, step)];
  });
  return inRows.length > 0 ? inRows : workedAsTold(history, options);
}

/** The same, by what the callers were told alone. */
function workedAsTold({ job, acts }: JobHistory, { slackUs }: Options): Broken[] {
  const found: Broken[] = [];
  for (const cancel of acts) {
    if (cancel.op !== "cancel" || !["CANCELLED", "REQUESTED"].includes(toldOf(cancel) ?? "")) continue;
    const after = acts.find((act) => act.began > cancel.ended + slackUs && isWork(act));
    if (after === undefined || retriedBetween(acts, cancel, after)) continue;
    found.push(broken(job, "it was worked on after its cancel was answered", cancel, after));
  }
  return found;
}

const isWork = (act: Act): boolean =>
  ["ACCEPTED", "RETRYING", "done", "failed_recorded"].includes(toldOf(act) ?? "") ||
  (act.op === "claim" && act.answer?.token !== undefined);

function retriedBetween(acts: Act[], first: Act, second: Act): boolean {
  return acts.some(
    (act) => act.op === "retry" && mayHave(act, "RETRIED") && act.began <= second.ended && act.ended >= first.began,
  );
}
