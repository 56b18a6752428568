/**
 * The lives of two jobs among two brokers, two workers on streams and one that claims by itself, as plain states: what
 * the database has, what is on its way, what each worker believes. Beside it stands what only an onlooker knows (`told`,
 * `promised`, `spent`, `ended`), by which the promises are judged.
 *
 * A fault is a lost frame, reply or report, a cut stream, a killed worker or broker; there are as many as `faults` says.
 * Time passes whenever it likes. MUTATIONS are the mistakes that the design is to rule out.
 */

export const MUTATIONS = [
  "no token check",
  "expiry used as guard",
  "attempt not counted",
  "reclaimed early",
  "settled twice",
  "ack ignored",
  "given back by job id",
  "heartbeat by job id",
  "reclaimed although ended",
  "held leases taken back",
  "acknowledged before stored",
  "returns spend no attempt and are not checked",
] as const;
export type Mutation = (typeof MUTATIONS)[number];

/** What a worker has of a job. */
export interface Hold {
  /** 0: nothing. */
  token: number;
  /** What it reports; "" while it works. */
  as: "" | "D" | "F";
  /** Its report, or the verdict, on its way. */
  net: "" | "report" | "ok" | "lost";
  /** Killed: what is on its way still arrives. */
  dead: boolean;
}

export interface Job {
  status: "-" | "P" | "R" | "D" | "F";
  attempt: number;
  token: number;
  /** Hand-outs so far; the newest one's token. */
  given: number;
  holder: number;
  expired: boolean;
  settled: number;
  results: number;
  /** A Jobs frame with this token is on its way to the holder. */
  frame: number;
  /** The broker knows that the worker has seen it; lost with the stream. */
  acked: boolean;
  /** The database knows it, by a heartbeat. */
  beaten: boolean;
  /** A token that the holder's broker is about to give back. */
  owed: number;
  holds: readonly Hold[];
  told: boolean;
  promised: number;
  spent: number;
  ended: "" | "D" | "F";
  bad: string;
}

export interface State {
  jobs: readonly Job[];
  /** For each stream worker its broker; -1: none. */
  streams: readonly number[];
  faults: number;
}

export const STREAMS = 2;
/** The worker that claims by itself. */
export const UNARY = 2;
const MAX_ATTEMPTS = 2;
export const NOTHING: Hold = { token: 0, as: "", net: "", dead: false };
const FREE = { token: 0, holder: -1, expired: false, frame: 0, acked: false, beaten: false };

const JOB: Job = {
  ...{
    status: "-",
    attempt: 0,
    given: 0,
    settled: 0,
    results: 0,
    owed: 0,
    holds: [NOTHING, NOTHING, NOTHING],
    ...FREE,
  },
  ...{ told: false, promised: 0, spent: 0, ended: "", bad: "" },
};

export function start(jobs: number, faults: number): State {
  return { jobs: Array.from({ length: jobs }, () => JOB), streams: [0, 1], faults };
}

/**
 * Jobs are alike, as are the two workers on streams and the two brokers: which is which makes no other state. Nor does
 * what can have no effect any more.
 */
export function keyOf({ jobs, streams, faults }: State): string {
  const either = [false, true].map((swapped) => {
    const keys = jobs.map((job) => keyOfJob(job, faults > 0, swapped)).sort();
    const on = faults > 0 || streams.includes(-1) ? named(swapped ? streams.toReversed() : streams) : "";
    return `${keys.join()} ${on}`;
  });
  return `${either.sort()[0]} ${faults}`;
}

/** Brokers by the order in which workers are on them. */
function named(streams: readonly number[]): string {
  const order = [...new Set(streams.filter((broker) => broker !== -1))];
  return streams.map((broker) => order.indexOf(broker)).join("/");
}

/** A step leaves most jobs alone, so their keys are known. */
const KEYS = [0, 1, 2, 3].map(() => new WeakMap<Job, string>());

function keyOfJob(job: Job, faulty: boolean, swapped: boolean): string {
  const keys = KEYS[(faulty ? 2 : 0) + (swapped ? 1 : 0)];
  const known = keys?.get(job);
  if (known !== undefined) return known;
  const key = Object.values(effective(swapped ? swap(job) : job, faulty)).join();
  keys?.set(job, key);
  return key;
}

function swap(job: Job): Job {
  const [first, second, third] = job.holds as [Hold, Hold, Hold];
  const holder = job.holder === 0 ? 1 : job.holder === 1 ? 0 : job.holder;
  return { ...job, holder, holds: [second, first, third] };
}

function effective(job: Job, faulty: boolean): object {
  const { status, told, bad, results, attempt, spent, ended } = job;
  const held = job.holds.some(({ token }) => token !== 0);
  if (ended === status && !held) return { status, told, bad, results, odd: attempt - spent };
  return {
    ...job,
    // Who asks with another token is refused, whichever settled it.
    settled: job.holds.some(({ token }) => token === job.settled) ? job.settled : 0,
    // What a cut stream would leave, and what keeps a job that is to be given back.
    acked: faulty && job.acked,
    beaten: (faulty || job.owed !== 0) && job.beaten,
    holds: job.holds.map(({ token, as, net, dead }) => `${token}${as}${net}${dead ? "x" : ""}`),
  };
}

export function brokenIn({ jobs }: State): string | undefined {
  for (const job of jobs) {
    if (job.bad !== "") return job.bad;
    if (job.told && job.status === "-") return "an acknowledged dispatch is lost";
    if (job.attempt !== job.spent) return "the attempts are not those that were spent";
    if (job.attempt > MAX_ATTEMPTS) return "more attempts than there may be";
    if (job.results > 1) return "two results of one job";
    if (job.ended !== "" && job.status !== job.ended) return "an ended job lives again";
  }
  return undefined;
}

/** What bounds a search, beside the jobs and the faults. */
export interface Scope {
  /** Hand-outs of a job, so that there is an end to it. */
  mostGiven: number;
  /** Whether workers report failures, too. */
  fails: boolean;
}

/** Moves of a job; each answers the job after it. */
export class Moves {
  readonly scope: Scope;
  readonly #mutation: Mutation | undefined;

  constructor(scope: Scope, mutation?: Mutation) {
    this.scope = scope;
    this.#mutation = mutation;
  }

  is(mutation: Mutation): boolean {
    return this.#mutation === mutation;
  }

  /** A worker gets the lease; a stream's worker by a frame. */
  give(job: Job, worker: number): Job {
    const token = job.given + 1;
    const attempt = job.attempt + (this.is("attempt not counted") ? 0 : 1);
    const bad = job.promised !== 0 ? "two leases of one job overlap" : job.bad;
    const leased = {
      ...job,
      ...FREE,
      status: "R" as const,
      token,
      given: token,
      holder: worker,
      attempt,
      spent: job.spent + 1,
      bad,
    };
    return { ...leased, settled: 0, ...(worker === UNARY ? { promised: token } : { frame: token }) };
  }

  /** The end of a lease without a report. */
  takeBack(job: Job): Job {
    const next = job.attempt >= MAX_ATTEMPTS ? "F" : "P";
    return { ...job, ...FREE, status: next, ended: next === "F" && job.ended === "" ? "F" : job.ended };
  }

  giveBack(job: Job): Job {
    const back = this.is("returns spend no attempt and are not checked") ? 0 : 1;
    return { ...job, ...FREE, owed: 0, status: "P", attempt: job.attempt - back, spent: job.spent - 1 };
  }

  beat(job: Job, token: number): Job | undefined {
    const current = job.status === "R" && job.token === token;
    if (!current && !(this.is("heartbeat by job id") && job.status === "R")) return undefined;
    const bad = current ? job.bad : "a heartbeat kept another worker's lease";
    return { ...job, expired: false, beaten: true, promised: job.token, bad };
  }

  /** A report arrives; with the verdict that goes back. */
  settle(job: Job, token: number, as: "D" | "F"): [Job, "ok" | "lost"] {
    if (job.settled === token && !this.is("settled twice")) return [job, "ok"];
    const current = job.status === "R" && job.token === token;
    const takes = current && !(this.is("expiry used as guard") && job.expired);
    const again = this.is("settled twice") && job.settled === token && job.status === as;
    if (!takes && !again && !(this.is("no token check") && job.status === "R")) {
      return [{ ...job, bad: current ? "the current token was refused" : job.bad }, "lost"];
    }
    const bad = current || again ? job.bad : "a stale token ended another worker's attempt";
    const next = as === "F" && job.attempt < MAX_ATTEMPTS ? "P" : as;
    const results = job.results + (next === "P" ? 0 : 1);
    const promised = job.promised === token ? 0 : job.promised;
    const ended = next === "P" || job.ended !== "" ? job.ended : next;
    return [{ ...job, ...FREE, status: next, settled: token, results, promised, ended, bad }, "ok"];
  }

  mayGive(job: Job): boolean {
    return job.status === "P" && job.given < this.scope.mostGiven && job.attempt < MAX_ATTEMPTS;
  }

  mayReclaim(job: Job): boolean {
    if (this.is("reclaimed early") && job.status === "R") return true;
    return (job.status === "R" && job.expired) || (job.ended !== "" && this.is("reclaimed although ended"));
  }

  mayReturn(job: Job): boolean {
    if (job.owed === 0 || job.status !== "R") return false;
    if (this.is("given back by job id")) return true;
    return job.token === job.owed && (!job.beaten || this.is("ack ignored"));
  }
}
