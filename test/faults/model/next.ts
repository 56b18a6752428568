/** All that may happen next in a state of life.ts, each with its name. */
import { type Hold, type Job, Moves, type Mutation, NOTHING, type Scope, STREAMS, type State, UNARY } from "./life.ts";

type Next = [string, State];

const WORKERS = [0, 1, UNARY];
const BROKERS = [0, 1];

export function nextOf(scope: Scope, mutation?: Mutation): (state: State) => Next[] {
  const moves = new Moves(scope, mutation);
  return (state) => [
    ...state.jobs.flatMap((job, at) =>
      jobSteps(moves, state, job).map(
        ([name, after, cost]): Next => [`${name} (job ${at + 1})`, put(state, at, after, cost)],
      ),
    ),
    ...streamSteps(moves, state),
  ];
}

/** What a job comes to, by what, at the cost of so many faults. */
type Step = [string, Job, 0 | 1];

function put(state: State, at: number, job: Job, cost: number): State {
  return { ...state, jobs: state.jobs.with(at, job), faults: state.faults - cost };
}

function jobSteps(moves: Moves, state: State, job: Job): Step[] {
  const steps = [
    ...producerSteps(moves, state, job),
    ...leaseSteps(moves, state, job),
    ...WORKERS.flatMap((worker) => workSteps(moves, state, job, worker)),
  ];
  return steps.filter(([, , cost]) => cost <= state.faults);
}

/** A worker takes a job at a time, and knows what it takes. */
function isFree({ jobs, streams }: State, worker: number): boolean {
  if (worker !== UNARY && streams[worker] === -1) return false;
  return jobs.every(({ holder, holds }) => holder !== worker && holds[worker]?.token === 0);
}

function producerSteps(moves: Moves, state: State, job: Job): Step[] {
  if (job.status !== "-")
    return job.told ? [] : [["the dispatch is sent again, and is known", { ...job, told: true }, 0]];
  const waits: Job = { ...job, status: "P" };
  const steps: Step[] = [
    ["dispatched", { ...waits, told: true }, 0],
    ["dispatched, the reply is lost", waits, 1],
  ];
  if (moves.is("acknowledged before stored"))
    steps.push(["acknowledged, then the broker is killed", { ...job, told: true }, 1]);
  for (const worker of WORKERS.slice(0, STREAMS)) {
    if (!isFree(state, worker)) continue;
    const handed = moves.give(job, worker);
    steps.push([`handed to worker ${worker} at its dispatch`, { ...handed, told: true }, 0]);
    steps.push([
      `handed to worker ${worker}, the broker does not learn of it`,
      { ...handed, frame: 0, owed: handed.token },
      1,
    ]);
  }
  return steps;
}

function leaseSteps(moves: Moves, state: State, job: Job): Step[] {
  const steps: Step[] = [];
  if (moves.mayGive(job)) {
    for (const worker of WORKERS.slice(0, STREAMS)) {
      if (isFree(state, worker)) steps.push([`pushed to worker ${worker}`, moves.give(job, worker), 0]);
    }
    if (isFree(state, UNARY)) {
      const given = moves.give(job, UNARY);
      steps.push(["claimed", hold(given, UNARY, { ...NOTHING, token: given.token }), 0]);
      steps.push(["claimed, the reply is lost", given, 1]);
    }
  }
  // The end that was promised has passed; the lease goes on until somebody takes it back.
  if (job.status === "R" && !job.expired) {
    steps.push([
      "the lease's time is over",
      { ...job, expired: true, promised: job.promised === job.token ? 0 : job.promised },
      0,
    ]);
  }
  if (moves.mayReclaim(job)) steps.push(["reclaimed", moves.takeBack(job), 0]);
  if (moves.mayReturn(job)) steps.push(["given back unseen", moves.giveBack(job), 0]);
  return steps;
}

function hold(job: Job, worker: number, what: Hold): Job {
  return { ...job, holds: job.holds.with(worker, what) };
}

function workSteps(moves: Moves, state: State, job: Job, worker: number): Step[] {
  const own = job.holds[worker] ?? NOTHING;
  const steps: Step[] = [];
  const up = worker === UNARY || state.streams[worker] !== -1;
  if (job.frame !== 0 && job.holder === worker && own.token === 0 && up) {
    const got = hold({ ...job, frame: 0 }, worker, { ...NOTHING, token: job.frame });
    steps.push([`the frame comes to worker ${worker}`, got, 0]);
  }
  if (own.token === 0) return steps;
  const reported = own.as !== "" && own.net === "";
  if (!own.dead && own.as === "") steps.push(...aliveSteps(moves, job, worker, own, up));
  if (reported && !own.dead) steps.push([`worker ${worker} reports`, hold(job, worker, { ...own, net: "report" }), 0]);
  if (own.net === "report" && own.as !== "") {
    const [after, verdict] = moves.settle(job, own.token, own.as);
    const answered = hold(after, worker, own.dead ? NOTHING : { ...own, net: verdict });
    steps.push([`worker ${worker}'s report ${own.as} arrives: ${verdict}`, answered, 0]);
    steps.push([`worker ${worker}'s report is lost`, hold(job, worker, own.dead ? NOTHING : { ...own, net: "" }), 1]);
  }
  if (own.net === "ok" || own.net === "lost") {
    steps.push([`worker ${worker} hears ${own.net}`, hold(job, worker, NOTHING), 0]);
    steps.push([`the reply to worker ${worker} is lost`, hold(job, worker, { ...own, net: "" }), 1]);
  }
  return steps;
}

function aliveSteps(moves: Moves, job: Job, worker: number, own: Hold, up: boolean): Step[] {
  const steps: Step[] = [[`worker ${worker} has done it`, hold(job, worker, { ...own, as: "D", net: "report" }), 0]];
  if (moves.scope.fails)
    steps.push([`worker ${worker} has failed`, hold(job, worker, { ...own, as: "F", net: "report" }), 0]);
  const current = job.status === "R" && job.token === own.token;
  // The broker counts on it from now on; so does the worker, while the lease runs.
  if (up && worker !== UNARY && current && !job.acked && job.owed !== own.token) {
    steps.push([`worker ${worker} acks`, { ...job, acked: true, promised: job.expired ? job.promised : own.token }, 0]);
  }
  const beaten = moves.beat(job, own.token);
  steps.push([`worker ${worker} sends a heartbeat`, beaten ?? hold(job, worker, NOTHING), 0]);
  return steps;
}

/** What befalls a whole stream or broker. */
function streamSteps(moves: Moves, state: State): Next[] {
  const steps: Next[] = [];
  if (state.faults > 0) {
    for (const worker of WORKERS) steps.push([`worker ${worker} is killed`, killWorker(moves, state, worker)]);
    for (const worker of WORKERS.slice(0, STREAMS))
      if (state.streams[worker] !== -1) steps.push([`worker ${worker}'s stream is cut`, cut(moves, state, worker)]);
    for (const broker of BROKERS)
      if (state.streams.includes(broker)) steps.push([`broker ${broker} is killed`, kill(state, broker)]);
  }
  for (const worker of WORKERS.slice(0, STREAMS)) {
    if (state.streams[worker] !== -1) continue;
    for (const broker of BROKERS)
      steps.push([`worker ${worker} comes back to broker ${broker}`, hello(moves, state, worker, broker)]);
  }
  return steps;
}

/** The broker notices, and owes what was not acked. */
function cut(moves: Moves, state: State, worker: number): State {
  const jobs = state.jobs.map((job) => {
    if (job.holder !== worker || job.status !== "R") return job;
    const owes = !job.acked || moves.is("ack ignored");
    return { ...job, frame: 0, owed: owes ? job.token : job.owed };
  });
  return { jobs, streams: state.streams.with(worker, -1), faults: state.faults - 1 };
}

/** With a worker its stream goes; a report that it has sent may still arrive. */
function killWorker(moves: Moves, state: State, worker: number): State {
  const streams = worker !== UNARY && state.streams[worker] !== -1;
  const after = streams ? cut(moves, state, worker) : { ...state, faults: state.faults - 1 };
  const jobs = after.jobs.map((job) => {
    const own = job.holds[worker] ?? NOTHING;
    return own.token === 0 ? job : hold(job, worker, own.net === "report" ? { ...own, dead: true } : NOTHING);
  });
  return { ...after, jobs };
}

/** What the broker knew is gone: frames, acks, and what it was to give back. */
function kill(state: State, broker: number): State {
  const jobs = state.jobs.map((job) => {
    if (job.holder === -1 || state.streams[job.holder] !== broker) return job;
    return { ...job, frame: 0, acked: false, owed: 0 };
  });
  return { jobs, streams: state.streams.map((one) => (one === broker ? -1 : one)), faults: state.faults - 1 };
}

/** What the worker has is kept for it; what it was given and has not, goes back with the attempt spent. */
function hello(moves: Moves, state: State, worker: number, broker: number): State {
  const jobs = state.jobs.map((job) => {
    const own = job.holds[worker] ?? NOTHING;
    // It names a job until it has heard what became of its report.
    const held = own.token !== 0 && !own.dead ? moves.beat(job, own.token) : undefined;
    if (held !== undefined && !moves.is("held leases taken back")) return { ...held, acked: true };
    if (job.status !== "R" || job.holder !== worker) return held ?? job;
    // It says itself that it has no such lease.
    const forgot = own.dead || own.token !== job.token;
    const promised = forgot && job.promised === job.token ? 0 : job.promised;
    const returned = moves.mayReturn(job) ? moves.giveBack(job) : undefined;
    return returned ?? moves.takeBack({ ...job, promised, owed: 0 });
  });
  return { ...state, jobs, streams: state.streams.with(worker, broker) };
}
