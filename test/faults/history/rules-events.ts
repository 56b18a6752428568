/** Rules about the events of a job: written with its moves, and told in their order. */
import { EVENT_KINDS, TERMINAL_KINDS } from "../../../src/job/events.ts";
import { type Act, isTransition, type JobHistory, type Step } from "./history.ts";
import type { EventVersion } from "./rows.ts";
import { type Broken, broken, type Options, type Rule } from "./violation.ts";

export const EVENT_RULES: readonly Rule[] = [
  {
    name: "event-with-transition",
    invariant: 12,
    says: "each transition writes its event in its own transaction, and no event comes without one",
    check: pairs,
  },
  {
    name: "events-without-gap",
    invariant: 12,
    says: "event_seq grows by one at each transition, and a job's events have each number once",
    check: numbers,
  },
  {
    name: "one-end-per-life",
    invariant: 12,
    says: "between two dispatches or retries of a job there is one event of its end at most",
    check: manyEnds,
  },
  {
    name: "told-as-written",
    invariant: 13,
    says: "what watchers and endpoints are told of is an event that was written, with its kind and attempt",
    check: invented,
  },
  {
    name: "told-in-order",
    invariant: 13,
    says: "each watcher and endpoint hears of a job's events in the order of their seq",
    check: disorder,
  },
  {
    name: "told-at-least-once",
    invariant: 13,
    says: "each subscriber is told of each event of its kinds",
    check: untold,
  },
];

const END_KINDS: readonly string[] = TERMINAL_KINDS;

/** What the step is told as. A hand-off is both dispatched and started. */
function kindsOf({ from, to, move }: Step): string[] {
  if (END_KINDS.includes(to.status.toLowerCase())) return [to.status.toLowerCase()];
  if (move === "claim") return from === undefined ? ["dispatched", "started"] : ["started"];
  const kinds: Partial<Record<Step["move"], string>> = {
    dispatch: "dispatched",
    report: "retrying",
    legacy: "retrying",
    release: "released",
    reclaim: "reclaimed",
    retry: "retried",
  };
  return kinds[move] === undefined ? [] : [kinds[move]];
}

function pairs({ job, steps, events }: JobHistory, { keptKinds }: Options): Broken[] {
  const found: Broken[] = [];
  const met = new Set<EventVersion>();
  for (const step of steps) {
    if (!isTransition(step) || (step.from === undefined && step.to.change !== "INSERT")) continue;
    const kinds = kindsOf(step);
    for (const [at, kind] of kinds.entries()) {
      const seq = step.to.eventSeq - (kinds.length - 1 - at);
      const own = events.find((event) => event.tx === step.to.tx && event.seq === seq && event.event === kind);
      if (own !== undefined) met.add(own);
      else if (keptKinds.has(kind) || END_KINDS.includes(kind)) {
        const other = events.find((event) => event.seq === seq);
        found.push(broken(job, `event ${seq} ${kind} is not in the transaction ${step.to.tx}`, step, other));
      }
    }
  }
  const alone = events.filter(
    (event) => !met.has(event) && !found.some(({ history }) => history.some(({ at }) => at === event.at)),
  );
  return [...found, ...alone.map((event) => broken(job, "an event without its transition", event))];
}

function numbers({ job, steps, events }: JobHistory, { keptKinds }: Options): Broken[] {
  const found = steps.flatMap((step, at) => {
    const { from, to } = step;
    if (to.change === "DELETE" || (from === undefined && to.change !== "INSERT")) return [];
    const grows = from === undefined ? kindsOf(step).length : isTransition(step) ? 1 : 0;
    const due = (from?.eventSeq ?? 0) + grows;
    return to.eventSeq === due
      ? []
      : [broken(job, `event_seq is ${to.eventSeq}, and should be ${due}`, from && steps[at - 1], step)];
  });
  for (const [at, event] of events.entries()) {
    const before = events[at - 1];
    if (before === undefined) continue;
    const isNext = EVENT_KINDS.every((kind) => keptKinds.has(kind))
      ? event.seq === before.seq + 1
      : event.seq > before.seq;
    if (!isNext) found.push(broken(job, `event ${event.seq} follows event ${before.seq}`, before, event));
  }
  return found;
}

function manyEnds({ job, steps, events }: JobHistory): Broken[] {
  const found: Broken[] = [];
  // Django's publish, of which there is no event, may open an ended job again.
  const published = steps.filter(({ move }) => move === "publish").map(({ to }) => to.eventSeq);
  let end: EventVersion | undefined;
  for (const event of events) {
    const last = end?.seq ?? 0;
    if (published.some((seq) => seq > last && seq < event.seq)) end = undefined;
    if (event.event === "retried" || event.event === "dispatched") end = undefined;
    if (!END_KINDS.includes(event.event)) continue;
    if (end !== undefined) found.push(broken(job, "it ended twice in one life", end, event));
    end = event;
  }
  return found;
}

const tellings = ({ acts }: JobHistory): Act[] => acts.filter(({ op }) => op === "event");

function invented(history: JobHistory): Broken[] {
  return tellings(history).flatMap((act) => {
    const { seq, status, attempt } = act.answer ?? {};
    const written = history.events.find((event) => event.seq === seq);
    if (written?.event === status && (attempt === undefined || written?.attempt === attempt)) return [];
    return [broken(history.job, `event ${seq} ${status} was told, and is not written so`, written, act)];
  });
}

/** Of the first time that each is told: a repeat may come at any time. */
function disorder(history: JobHistory): Broken[] {
  const found: Broken[] = [];
  const newest = new Map<string, Act>();
  const heard = new Set<string>();
  for (const act of tellings(history)) {
    const seq = act.answer?.seq ?? 0;
    const again = heard.has(`${act.process} ${seq}`);
    heard.add(`${act.process} ${seq}`);
    const before = newest.get(act.process);
    if (before !== undefined && seq < (before.answer?.seq ?? 0) && !again) {
      found.push(broken(history.job, `event ${seq} was told after event ${before.answer?.seq}`, before, act));
    }
    if (before === undefined || seq > (before.answer?.seq ?? 0)) newest.set(act.process, act);
  }
  return found;
}

function untold(history: JobHistory, { subscribers }: Options): Broken[] {
  return subscribers.flatMap(({ name, kinds }) => {
    const told = tellings(history).filter(({ process }) => nameOf(process) === name);
    const missed = history.events.filter(
      (event) => kinds.includes(event.event) && !told.some(({ answer }) => answer?.seq === event.seq),
    );
    return missed.map((event) =>
      broken(history.job, `${name} was never told of event ${event.seq} ${event.event}`, event),
    );
  });
}

function nameOf(process: string): string {
  return process.slice(0, process.lastIndexOf("/"));
}
