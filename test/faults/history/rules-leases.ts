/** Rules about who may work on a job, from when to when. */
import { type Act, isDuring, type JobHistory, mayHave, type Step, tokenOf, toldOf } from "./history.ts";
import { type Broken, broken, type Options, type Rule } from "./violation.ts";

export const LEASE_RULES: readonly Rule[] = [
  {
    name: "leases-never-overlap",
    invariant: 2,
    says: "a job gets a new lease only when its last one has ended, and a token is one worker's",
    check: overlaps,
  },
  {
    name: "deliveries-grow",
    invariant: 2,
    says: "each hand-out, and nothing else, adds one to deliveries",
    check: deliveries,
  },
  {
    name: "told-leases-exist",
    invariant: 2,
    says: "a lease that a worker is told of is the job's, with that token, attempt, worker and end",
    check: toldLeases,
  },
  {
    name: "no-early-reclaim",
    invariant: 4,
    says: "a lease is taken back after its end, after a cancel's grace, or when its instance comes back without it",
    check: earlyReclaims,
  },
  {
    name: "given-back-unseen",
    invariant: 6,
    says: "a lease that had a heartbeat goes back unburnt only when its worker releases it",
    check: unaskedReleases,
  },
  {
    name: "unseen-is-not-burnt",
    invariant: 6,
    says: "a lease for a stream that its worker was never told of goes back with its attempt, as long as brokers live",
    check: burntUnseen,
  },
  {
    name: "heartbeats-extend-their-own",
    invariant: 16,
    says: "only an accepted heartbeat of its token, or a repeat of its claim, moves a lease's end, and never to an earlier time",
    check: beats,
  },
  {
    name: "own-leases-only",
    invariant: 16,
    says: "what is accepted for a lease came from the worker that has it",
    check: strangers,
  },
  {
    name: "released-is-released",
    invariant: 3,
    says: "an answered release has given just that lease back",
    check: releases,
  },
];

const handsOut = (step: Step): boolean => step.move === "claim";

/** The step that made the lease with this token. */
function grantOf({ steps }: JobHistory, token: string | undefined): Step | undefined {
  return steps.find((step) => handsOut(step) && step.to.token === token && token !== undefined);
}

function overlaps(history: JobHistory): Broken[] {
  const found = history.steps
    .filter(({ from, to }) => from?.status === "RUNNING" && to.status === "RUNNING" && from.token !== to.token)
    .map((step) => {
      const before = grantOf(history, step.from?.token ?? undefined);
      return broken(history.job, `token ${step.to.token} was given while ${step.from?.token} ran`, before, step);
    });
  const byToken = new Map<string, Act>();
  for (const act of history.acts) {
    const token = act.op === "push" || act.op === "claim" ? act.answer?.token : undefined;
    if (token === undefined) continue;
    const first = byToken.get(token);
    if (first === undefined) byToken.set(token, act);
    else if (first.worker !== act.worker) {
      found.push(broken(history.job, `${first.worker} and ${act.worker} were both told token ${token}`, first, act));
    }
  }
  return found;
}

function deliveries({ job, steps }: JobHistory): Broken[] {
  return steps.flatMap((step, at) => {
    const { from, to } = step;
    if (to.change === "DELETE" || (from === undefined && to.change !== "INSERT")) return [];
    const due = (from?.deliveries ?? 0) + (handsOut(step) ? 1 : 0);
    if (to.deliveries === due) return [];
    return [broken(job, `deliveries is ${to.deliveries}, and should be ${due}`, steps[at - 1], step)];
  });
}

function toldLeases(history: JobHistory, { slackUs }: Options): Broken[] {
  const { job, acts, steps } = history;
  return acts.flatMap((act) => {
    const told = act.answer;
    if (told === null || !["push", "claim", "legacyClaim"].includes(act.op)) return [];
    if (told.token === undefined) {
      const began = steps.some(
        ({ move, to }) => move === "claim" && to.worker === act.worker && to.now <= act.ended + slackUs,
      );
      return began ? [] : [broken(job, `${act.worker} was told of a lease that it never had`, act)];
    }
    const grant = grantOf(history, told.token);
    if (grant === undefined) return [broken(job, `no lease ever had token ${told.token}`, act)];
    const wrong = [
      ...(told.attempt !== undefined && told.attempt !== grant.to.attempt ? [`attempt ${told.attempt}`] : []),
      ...(act.worker !== null && act.worker !== grant.to.worker ? [`worker ${act.worker}`] : []),
      ...(grant.to.now > act.ended + slackUs ? ["a time before it was given"] : []),
      ...(told.expiresAt !== undefined && told.expiresAt > lastEnd(history, told.token)
        ? [`end ${told.expiresAt}`]
        : []),
    ];
    return wrong.length === 0 ? [] : [broken(job, `the lease was told with ${wrong.join(", ")}`, grant, act)];
  });
}

/** The latest end that the lease ever had; times on the wire may have been cut to milliseconds, never rounded up. */
function lastEnd({ steps }: JobHistory, token: string): number {
  return Math.max(
    ...steps.filter(({ to }) => to.token === token).map(({ to }) => to.expiresAt ?? Number.POSITIVE_INFINITY),
  );
}

function earlyReclaims(history: JobHistory, options: Options): Broken[] {
  return history.steps.flatMap((step) => {
    const { from, to } = step;
    if (from === undefined || from.status !== "RUNNING") return [];
    if (step.move !== "reclaim" && step.move !== "cancelled") return [];
    const promised = promiseOf(history, from.token, to.now, options);
    const end = Math.max(from.expiresAt ?? Number.NEGATIVE_INFINITY, promised?.answer?.expiresAt ?? 0);
    if (end < to.now || mayTakeBack(history, step, options)) return [];
    const grant = grantOf(history, from.token ?? undefined);
    const shown = promised !== undefined && (promised.answer?.expiresAt ?? 0) >= to.now ? promised : grant;
    return [
      broken(history.job, `the lease ${from.token} was to run until ${end}, and was taken at ${to.now}`, shown, step),
    ];
  });
}

/** The call that promised the latest end of this lease, answered before `now`. */
function promiseOf({ acts }: JobHistory, token: string | null, now: number, { slackUs }: Options): Act | undefined {
  return acts
    .filter((act) => act.answer?.expiresAt !== undefined && tokenOf(act) === token && act.ended + slackUs < now)
    .sort((a, b) => (b.answer?.expiresAt ?? 0) - (a.answer?.expiresAt ?? 0))[0];
}

/** What else than its end lets a lease be taken away: a cancel, a report of it, its instance's new stream. */
function mayTakeBack({ job, acts, hellos }: JobHistory, { from, to, move }: Step, options: Options): boolean {
  const before = (call: { began: number }) => call.began <= to.at + options.slackUs;
  const asked = from?.cancelRequestedAt ?? null;
  if (asked !== null && asked + options.cancelGraceMs * 1_000 <= to.now) return true;
  if (options.unrecorded.includes("hello") && (from?.instance ?? null) !== null) return true;
  // However it was answered: the lease went before the answer came.
  const cameBack = hellos.some(
    (hello) =>
      hello.instance === from?.instance &&
      before(hello) &&
      !hello.items.some((item) => item.job === job && item.token === from?.token),
  );
  if (cameBack || move === "reclaim") return cameBack;
  return acts.some((act) => {
    if (!before(act)) return false;
    if (act.op === "legacyReport") return mayHave(act, "duplicate_ignored");
    return act.op === "report" && act.asked?.token === from?.token && mayHave(act, "CANCELLED");
  });
}

function unaskedReleases({ job, acts, steps }: JobHistory, { slackUs, unrecorded }: Options): Broken[] {
  if (unrecorded.includes("release")) return [];
  return steps.flatMap((step, at) => {
    const { from, to, move } = step;
    if (move !== "release" || from === undefined || from.heartbeatAt === from.lockedAt) return [];
    const asked = acts.some(
      (act) =>
        act.op === "release" &&
        act.asked?.token === from.token &&
        mayHave(act, "RELEASED") &&
        act.began <= to.at + slackUs,
    );
    return asked ? [] : [broken(job, `${from.worker} had ${from.token}, and never gave it back`, steps[at - 1], step)];
  });
}

function burntUnseen(history: JobHistory, { slackUs, brokersLive }: Options): Broken[] {
  if (!brokersLive) return [];
  return history.steps.flatMap((step) => {
    const { from, to, move } = step;
    if (move !== "reclaim" || (from?.instance ?? null) === null) return [];
    const wasTold = history.acts.some(
      ({ op, answer, began }) => op === "push" && answer?.token === from?.token && began <= to.at + slackUs,
    );
    if (wasTold) return [];
    const what = `${from?.worker} was never told of ${from?.token}, and its attempt is spent`;
    return [broken(history.job, what, grantOf(history, from?.token ?? undefined), step)];
  });
}

function beats(history: JobHistory, { slackUs, unrecorded }: Options): Broken[] {
  const { job, acts, steps } = history;
  const found = steps.flatMap((step, at) => {
    const { from, to } = step;
    if (from === undefined || to.status !== "RUNNING" || from.token !== to.token || from.expiresAt === to.expiresAt)
      return [];
    if ((to.expiresAt ?? 0) < (from.expiresAt ?? 0))
      return [broken(job, "the lease was shortened", steps[at - 1], step)];
    if (unrecorded.includes("heartbeat")) return [];
    const asked = acts.some(
      (act) =>
        // A stream that was refused may have kept its leases alive before.
        (act.op === "hello" ? toldOf(act) !== "LOST" : act.op === "heartbeat" && mayHave(act, "CONTINUE", "CANCEL")) &&
        act.asked?.token === to.token &&
        act.began <= to.at + slackUs,
    );
    return asked || mayBeRepeated(history, step, slackUs)
      ? []
      : [broken(job, `nobody sent a heartbeat for ${to.token}`, steps[at - 1], step)];
  });
  for (const act of acts) {
    const end = act.answer?.expiresAt;
    const token = act.asked?.token;
    if ((act.op !== "heartbeat" && act.op !== "hello") || end === undefined || token === undefined) continue;
    if (end > lastEnd(history, token)) {
      found.push(
        broken(
          job,
          `a ${act.op} was promised ${token} until ${end}`,
          act,
          steps.findLast(({ to }) => to.token === token),
        ),
      );
    }
  }
  return found;
}

/** Whether a repeated claim may have found the lease: one of a call, made after the request was sent first. */
function mayBeRepeated({ repeats, steps, acts }: JobHistory, { to }: Step, slackUs: number): boolean {
  if (to.instance !== null) return false;
  const grant = steps.find((step) => handsOut(step) && step.to.token === to.token);
  const toldBy = acts.find(({ op, answer }) => op === "claim" && answer?.token === to.token)?.records[0]?.note;
  return repeats.some(({ worker, request, firstAt, began, ended }) => {
    if (worker !== to.worker || (toldBy !== undefined && toldBy !== request)) return false;
    return firstAt <= (grant?.to.at ?? 0) + slackUs && began <= to.at + slackUs && to.now <= ended + slackUs;
  });
}

function strangers(history: JobHistory): Broken[] {
  return history.acts.flatMap((act) => {
    const told = toldOf(act);
    if (act.worker === null || told === undefined || act.asked?.token === undefined) return [];
    if (!["CONTINUE", "CANCEL", "ACCEPTED", "RETRYING", "RELEASED"].includes(told)) return [];
    const grant = grantOf(history, act.asked.token);
    if (grant === undefined || grant.to.worker === act.worker) return [];
    return [broken(history.job, `${act.worker} was told ${told} for a lease of ${grant.to.worker}`, grant, act)];
  });
}

function releases({ job, acts, steps }: JobHistory, { slackUs }: Options): Broken[] {
  return acts.flatMap((act) => {
    if (act.op !== "release" || toldOf(act) !== "RELEASED") return [];
    const done = steps.some(
      (step) => step.move === "release" && step.from?.token === act.asked?.token && isDuring(step, act, slackUs),
    );
    return done ? [] : [broken(job, `${act.asked?.token} was said to be released, and was not`, act)];
  });
}
