/** What the store promises, said once more without SQL, locks or plans: plain objects and the rules of the contract. */
import type { Status } from "../../src/job/status.ts";
import type { ReportStatus, Seat } from "../../src/store/rows.ts";

export interface Body {
  type: string;
  priority: number;
  maxAttempts: number;
}

export interface ModelJob extends Body {
  key: string | null;
  status: Status;
  attempts: number;
  deliveries: number;
  returns: number;
  /** The order of run_at; Infinity: not due for long. */
  runAt: number;
  token: string | null;
  holder: string | null;
  /** Of the stream that the holder got it through. */
  instance: string | null;
  request: string | null;
  expired: boolean;
  cancel: boolean;
  /** Of the lease row: whether a requested cancel's grace is over. */
  grace: "over" | "later" | null;
  settled: { token: string; as: string } | null;
  error: string;
  /** Undefined: no result row. */
  result: string | null | undefined;
}

const SPENT = "max_attempts_exceeded";
const RETURNED = "max_deliveries_exceeded";
const isOpen = ({ status }: ModelJob) => status === "PENDING" || status === "RUNNING";
const isSpent = (job: ModelJob) => job.attempts >= job.maxAttempts;

export class Model {
  /** In the order of their ids. */
  readonly jobs = new Map<string, ModelJob>();
  readonly paused = new Set<string>();
  /** By instance: its newest session, and how many there were. */
  readonly sessions = new Map<string, { id: string; epoch: number; ended: boolean }>();
  archived = 0;
  #now = 0;

  insert(id: string, body: Body, key: string | null = null): void {
    const nothing = {
      token: null,
      holder: null,
      instance: null,
      request: null,
      grace: null,
      settled: null,
      result: undefined,
    };
    const start = { status: "PENDING" as const, attempts: 0, deliveries: 0, returns: 0, error: "" };
    this.jobs.set(id, { ...body, ...nothing, ...start, key, runAt: ++this.#now, expired: false, cancel: false });
  }

  /** One by one, all or none; null: refused, since an id or key was used for another body. */
  dispatch(items: (Body & { id: string; key: string | null })[]): { jobId: string; created: boolean }[] | null {
    const stored: string[] = [];
    const answers = items.map(({ id, key, ...body }) => {
      const known = this.jobs.has(id) ? id : [...this.jobs].find(([, job]) => key !== null && job.key === key)?.[0];
      const job = known === undefined ? undefined : this.jobs.get(known);
      if (known === undefined || job === undefined) {
        this.insert(id, body, key);
        stored.push(id);
        return { jobId: id, created: true };
      }
      const same = job.type === body.type && job.priority === body.priority && job.maxAttempts === body.maxAttempts;
      return same ? { jobId: known, created: false } : null;
    });
    if (!answers.includes(null)) return answers as { jobId: string; created: boolean }[];
    for (const id of stored) this.jobs.delete(id);
    return null;
  }

  claim(worker: string, types: string[], limit: number, request: string | null): [string, ModelJob][] {
    return this.#claim(Array(limit).fill({ workerId: worker, instanceId: null }), types, limit, request);
  }

  claimForSeats(seats: Seat[], types: string[]): [string, ModelJob][] {
    const live = seats.filter(({ instanceId, sessionId }) => {
      const session = this.sessions.get(instanceId);
      return session?.id === sessionId && !session.ended;
    });
    return this.#claim(live, types, seats.length, null);
  }

  #claim(
    takers: { workerId: string; instanceId: string | null }[],
    types: string[],
    asked: number,
    request: string | null,
  ) {
    const limit = takers.length;
    for (let round = 0; ; round++) {
      const due = this.#sorted(
        (job) =>
          job.status === "PENDING" &&
          job.runAt <= this.#now &&
          !this.paused.has(job.type) &&
          (types.length === 0 || types.includes(job.type)),
      );
      const inLane = (at: number) =>
        due
          .slice(0, at)
          .filter(([, { type, priority }]) => type === due[at]?.[1].type && priority === due[at][1].priority);
      const seen = due.filter((_, at) => (round === 0 ? at < limit : inLane(at).length < asked * 2 ** round));
      const ending = seen.filter(([, job]) => job.cancel || isSpent(job));
      const taken = seen.filter((entry) => !ending.includes(entry)).slice(0, limit);
      for (const [, job] of ending) {
        if (!job.cancel && job.error === "") job.error = SPENT;
        job.status = job.cancel ? "CANCELLED" : "FAILED";
      }
      for (const [at, [, job]] of taken.entries()) {
        job.attempts++;
        job.deliveries++;
        const by = { holder: takers[at]?.workerId, instance: takers[at]?.instanceId, request };
        Object.assign(job, { status: "RUNNING", ...by, settled: null, expired: false, grace: null });
      }
      if (taken.length > 0 || ending.length === 0) return taken;
    }
  }

  replay(worker: string, request: string): string[] {
    const held = (job: ModelJob) => job.status === "RUNNING" && job.holder === worker && job.request === request;
    const found = this.#sorted(held);
    for (const [, job] of found) job.expired = false;
    return found.map(([id]) => id);
  }

  heartbeat(id: string, token: string): "CONTINUE" | "CANCEL" | "LOST" {
    const job = this.#held(id, token);
    if (job === undefined) return "LOST";
    job.expired = false;
    return job.cancel ? "CANCEL" : "CONTINUE";
  }

  report(id: string, token: string, as: "DONE" | "FAILED", result: string, more: { retry: boolean; later: boolean }) {
    const job = this.jobs.get(id);
    const verdict = ((): ReportStatus => {
      if (job === undefined) return "NOT_FOUND";
      if (job.settled?.token === token) {
        return job.settled.as === "CANCELLED" ? "CANCELLED" : job.settled.as === as ? "DUPLICATE" : "CONFLICT";
      }
      if (this.#held(id, token) === undefined) return "LEASE_LOST";
      if (job.cancel) return "CANCELLED";
      return as === "FAILED" && more.retry && !isSpent(job) ? "RETRYING" : "ACCEPTED";
    })();
    if (job === undefined || this.#held(id, token) === undefined) return verdict;
    if (verdict === "ACCEPTED") job.result = result;
    this.#leave(job, verdict === "RETRYING" ? "PENDING" : verdict === "CANCELLED" ? "CANCELLED" : as, as === "DONE");
    if (verdict === "RETRYING") job.runAt = more.later ? Number.POSITIVE_INFINITY : ++this.#now;
    if (verdict !== "CANCELLED") job.error = as === "DONE" ? "" : "it broke";
    job.settled = { token, as: verdict === "CANCELLED" ? "CANCELLED" : as };
    return verdict;
  }

  release(id: string, token: string, maxDeliveries: number): boolean {
    const job = this.#held(id, token);
    if (job === undefined) return false;
    const returns = job.returns + 1;
    const next = job.cancel ? "CANCELLED" : returns >= maxDeliveries ? "FAILED" : "PENDING";
    this.#leave(job, next);
    Object.assign(job, { attempts: Math.max(0, job.attempts - 1), returns });
    if (next === "FAILED") job.error = RETURNED;
    return true;
  }

  /** The lease of a running job has run out. */
  expire(id: string): void {
    const job = this.jobs.get(id);
    if (job?.status === "RUNNING") job.expired = true;
  }

  reclaim(): string[] {
    return this.#takeBack(([, job]) => job.expired || job.grace === "over");
  }

  reclaimUnheld(instance: string, held: string[]): string[] {
    return this.#takeBack(([id, job]) => job.instance === instance && !held.includes(id));
  }

  #takeBack(which: (entry: [string, ModelJob]) => boolean): string[] {
    const over = [...this.jobs].filter((entry) => entry[1].status === "RUNNING" && which(entry));
    for (const [, job] of over) {
      const next = job.cancel ? "CANCELLED" : isSpent(job) ? "FAILED" : "PENDING";
      this.#leave(job, next);
      if (next === "FAILED" && job.error === "") job.error = SPENT;
    }
    return over.map(([id]) => id);
  }

  open(instance: string, id: string): number {
    const epoch = (this.sessions.get(instance)?.epoch ?? 0) + 1;
    this.sessions.set(instance, { id, epoch, ended: false });
    return epoch;
  }

  end({ instanceId, sessionId }: Seat): void {
    const session = this.sessions.get(instanceId);
    if (session?.id === sessionId) session.ended = true;
  }

  cancel(id: string, grace: "over" | "later"): "CANCELLED" | "REQUESTED" | "UNCHANGED" | "NOT_FOUND" {
    const job = this.jobs.get(id);
    if (job === undefined) return "NOT_FOUND";
    if (!isOpen(job)) return "UNCHANGED";
    job.cancel = true;
    if (job.status === "RUNNING") {
      job.grace ??= grace;
      return "REQUESTED";
    }
    job.status = "CANCELLED";
    return "CANCELLED";
  }

  retry(id: string): "RETRIED" | "NOT_RETRYABLE" | "NOT_FOUND" {
    const job = this.jobs.get(id);
    if (job === undefined) return "NOT_FOUND";
    if (job.status !== "FAILED" && job.status !== "CANCELLED") return "NOT_RETRYABLE";
    if (job.result !== undefined) this.archived++;
    Object.assign(job, { status: "PENDING", attempts: 0, returns: 0, error: "", cancel: false, holder: null });
    Object.assign(job, { result: undefined, runAt: ++this.#now });
    return "RETRIED";
  }

  legacyReport(id: string, worker: string, as: "DONE" | "FAILED", result: string) {
    const job = this.jobs.get(id);
    if (job === undefined) return "not_found";
    const holds = job.status === "RUNNING" && job.holder === worker;
    if (!isOpen(job) || (as === "FAILED" && !holds)) return "duplicate_ignored";
    const { token } = job;
    const next = job.cancel ? "CANCELLED" : as === "FAILED" && !isSpent(job) ? "PENDING" : as;
    this.#leave(job, next, next === "DONE");
    if (next === "CANCELLED") return "duplicate_ignored";
    if (next === "PENDING") job.runAt = ++this.#now;
    else job.result = result;
    job.error = as === "DONE" ? "" : "failed";
    job.settled = null;
    return token !== undefined && as === "DONE" ? "done" : "failed_recorded";
  }

  /** Django or plain SQL writes a status: the trigger ends our lease, and a new life has no cancel. */
  written(id: string, status: Status, holder?: string): void {
    const job = this.jobs.get(id);
    if (job === undefined) return;
    const wasOpen = isOpen(job);
    if (job.status !== status) {
      Object.assign(job, { token: null, instance: null, request: null, grace: null, expired: false });
      if (status === "RUNNING") job.settled = null;
    }
    job.status = status;
    if (!wasOpen && isOpen(job)) job.cancel = false;
    if (status === "PENDING") job.runAt = ++this.#now;
    if (holder === undefined) return;
    Object.assign(job, { holder, attempts: job.attempts + 1, grace: job.cancel ? "later" : null });
  }

  #held(id: string, token: string): ModelJob | undefined {
    const job = this.jobs.get(id);
    return job?.status === "RUNNING" && job.token === token ? job : undefined;
  }

  /** A lease ends; what is kept of it is who did the job, and what a repeat of a cancelled report is told. */
  #leave(job: ModelJob, status: Status, keepHolder = false): void {
    const settled = status === "CANCELLED" && job.token !== null ? { token: job.token, as: "CANCELLED" } : null;
    const kept = keepHolder && status === "DONE";
    const by = kept ? { holder: job.holder, instance: job.instance } : { holder: null, instance: null };
    Object.assign(job, {
      status,
      settled,
      ...by,
      token: null,
      request: null,
      grace: null,
      expired: false,
      returns: 0,
    });
  }

  #sorted(which: (job: ModelJob) => boolean): [string, ModelJob][] {
    // Equal ones stay in the order of their ids: the sort is stable.
    return [...this.jobs]
      .filter(([, job]) => which(job))
      .sort(([, a], [, b]) => a.priority - b.priority || a.runAt - b.runAt);
  }
}
