/** Rules about how an attempt ends, and what is left of it. */
import { isDeepStrictEqual } from "node:util";
import { type Act, ends, isDuring, type JobHistory, mayHave, type Step, toldOf } from "./history.ts";
import type { ResultVersion } from "./rows.ts";
import { type Broken, broken, type Options, type Rule } from "./violation.ts";

export const SETTLE_RULES: readonly Rule[] = [
  {
    name: "only-current-token-settles",
    invariant: 3,
    says: "an attempt is settled as a report with its token said, or by a legacy worker: any DONE, its holder's FAILED",
    check: unasked,
  },
  {
    name: "accepted-is-settled",
    invariant: 3,
    says: "a report that was answered ACCEPTED, RETRYING or CANCELLED has ended that very attempt so",
    check: forgotten,
  },
  {
    name: "current-token-is-heard",
    invariant: 3,
    says: "whoever holds the current token is not told that the lease is lost, whatever the clock says",
    check: refused,
  },
  {
    name: "one-result-per-life",
    invariant: 5,
    says: "one report is accepted from a dispatch or retry to the next, and one result row, which is not changed",
    check: twice,
  },
  {
    name: "result-equals-report",
    invariant: 5,
    says: "a result row says what the accepted report said",
    check: otherResult,
  },
  {
    name: "result-with-the-end",
    invariant: 5,
    says: "a result row is put by the transaction that ends the job by a report, and each DONE has one",
    check: strayResult,
  },
];

const settles = ({ move }: Step): boolean => move === "report" || move === "legacy";

/** The calls that may have made this step. */
function causes({ acts }: JobHistory, { from, to, move }: Step, { slackUs }: Options): Act[] {
  return acts.filter((act) => {
    if (act.began > to.at + slackUs || act.ended + slackUs < to.now) return false;
    if (move === "legacy") {
      if (to.status !== "DONE" && act.worker !== from?.worker) return false;
      return (
        act.op === "legacyReport" && mayHave(act, "done", "failed_recorded") && act.asked?.status === asOf(to.status)
      );
    }
    if (act.op !== "report" || act.asked?.token !== from?.token || act.asked?.status !== to.settledAs) return false;
    if (to.settledToken !== from?.token) return false;
    // A broker whose connection broke in a batch of reports runs each of them again: the call that did it is told so.
    return mayHave(act, "ACCEPTED", "RETRYING", "DUPLICATE");
  });
}

const asOf = (status: string): string => (status === "DONE" ? "DONE" : "FAILED");

function unasked(history: JobHistory, options: Options): Broken[] {
  return history.steps.flatMap((step) => {
    if (!settles(step) || causes(history, step, options).length > 0) return [];
    const token = step.from?.token;
    const others = history.acts.filter(
      ({ op, asked }) =>
        op === "legacyReport" || (op === "report" && (asked?.token === token || asked?.status === step.to.settledAs)),
    );
    const nearest = others.filter(({ began }) => began <= step.to.at + options.slackUs).at(-1);
    return [broken(history.job, `no report can have made it ${step.to.status} with token ${token}`, nearest, step)];
  });
}

const AS: Record<string, readonly string[]> = {
  ACCEPTED: ["DONE", "FAILED"],
  RETRYING: ["PENDING"],
  CANCELLED: ["CANCELLED"],
  done: ["DONE"],
  failed_recorded: ["PENDING", "FAILED"],
};

function forgotten({ job, steps, acts }: JobHistory, { slackUs }: Options): Broken[] {
  return acts.flatMap((act) => {
    const told = toldOf(act);
    if (told === undefined || (act.op !== "report" && act.op !== "legacyReport")) return [];
    const as = AS[told];
    if (as === undefined) return [];
    const own = (step: Step) => act.op === "legacyReport" || step.from?.token === act.asked?.token;
    // CANCELLED is also what a report is told that comes after the cancel was carried out.
    const inTime = (step: Step) =>
      told === "CANCELLED" ? step.to.now <= act.ended + slackUs : isDuring(step, act, slackUs);
    const done = steps.find((step) => own(step) && isEnd(step) && as.includes(step.to.status) && inTime(step));
    if (done !== undefined) return [];
    return [
      broken(
        job,
        `it was told ${told}, and no such end is there`,
        act,
        steps.find((step) => own(step) && isEnd(step)),
      ),
    ];
  });
}

const isEnd = ({ from, to, move }: Step): boolean =>
  from !== undefined && from.status !== to.status && !["claim", "retry", "publish", "prune", "unknown"].includes(move);

function refused({ job, acts, steps }: JobHistory, { slackUs }: Options): Broken[] {
  return acts.flatMap((act) => {
    const lost =
      toldOf(act) === "LEASE_LOST" || (act.op === "heartbeat" && toldOf(act) === "LOST") || toldOf(act) === "KEPT";
    const token = act.asked?.token;
    if (!lost || act.sent > 1 || token === undefined) return [];
    const first = steps.findIndex(({ to }) => to.token === token);
    const grant = steps[first];
    if (grant === undefined || grant.to.at + slackUs > act.began) return [];
    const after = steps.slice(first).find(({ to }) => to.token !== token);
    // It was the job's from before the call until after its answer.
    if (after !== undefined && after.to.now <= act.ended + slackUs) return [];
    return [broken(job, `${token} was current all the while, and was told ${toldOf(act)}`, grant, act, after)];
  });
}

function twice({ job, acts, steps, results }: JobHistory): Broken[] {
  const found: Broken[] = [];
  // Django's publish may open an ended job again, with its result in place.
  const reopened = steps.filter(({ from, move }) => move === "publish" && ends(from?.status)).map(({ to }) => to.at);
  const isReopened = (from: number, to: number) => reopened.some((at) => from <= at && at <= to);
  const accepted = acts
    .filter((act) => toldOf(act) === "ACCEPTED" || toldOf(act) === "done")
    .sort((a, b) => a.ended - b.ended);
  for (const [at, act] of accepted.entries()) {
    const before = accepted[at - 1];
    if (before === undefined || mayHaveRetried(acts, before, act) || isReopened(before.began, act.ended)) continue;
    found.push(broken(job, "two reports of one life were accepted", before, act));
  }
  let put: ResultVersion | undefined;
  for (const result of results) {
    const replaced = put !== undefined && result.change !== "DELETE" && !isReopened(put.at, result.at);
    if (replaced) found.push(broken(job, "its result was put a second time", put, result));
    const retried = steps.some(({ to, move }) => to.tx === result.tx && (move === "retry" || move === "prune"));
    if (result.change === "DELETE" && !retried) found.push(broken(job, "its result went without a retry", put, result));
    put = result.change === "DELETE" ? undefined : result;
  }
  return found;
}

/** A retry that may have come between the two. */
function mayHaveRetried(acts: Act[], first: Act, second: Act): boolean {
  return acts.some(
    (act) => act.op === "retry" && mayHave(act, "RETRIED") && act.began <= second.ended && act.ended >= first.began,
  );
}

function otherResult(history: JobHistory, options: Options): Broken[] {
  return history.results.flatMap((result) => {
    const step = history.steps.find((one) => one.to.tx === result.tx && settles(one));
    if (result.change === "DELETE" || step === undefined) return [];
    const reports = causes(history, step, options);
    if (reports.length === 0 || reports.some(({ asked }) => sameJson(asked?.result ?? null, result.result, step)))
      return [];
    return [broken(history.job, "the result is not the one reported", reports[0], result)];
  });
}

function sameJson(reported: string | null, stored: string | null, { move }: Step): boolean {
  const [a, b] = [reported, stored].map((text) => (text === null ? null : (JSON.parse(text) as unknown)));
  // The shim keeps an empty object as none, as the original does.
  if (move === "legacy" && b === null) return a === null || isDeepStrictEqual(a, {});
  return isDeepStrictEqual(a, b);
}

function strayResult({ job, steps, results }: JobHistory): Broken[] {
  const stray = results
    .filter(
      ({ change, tx }) =>
        change !== "DELETE" && !steps.some((step) => step.to.tx === tx && settles(step) && ends(step.to.status)),
    )
    .map((result) => broken(job, "a result was put and no report ended the job with it", result));
  const missing = steps
    .filter((step) => settles(step) && ends(step.to.status) && step.to.status !== "CANCELLED")
    .filter(({ to }) => !results.some(({ tx, change }) => tx === to.tx && change !== "DELETE"))
    .map((step) => broken(job, `it is ${step.to.status} by a report and has no result row`, step));
  return [...stray, ...missing];
}
