/**
 * A run that never was: a broker of plain objects that keeps the promises, and writes the records and row versions that
 * a real one would leave. Tests make good histories with it, and bad ones by changing a line.
 */
import { isTerminal } from "../../../src/job/status.ts";
import type { CallRecord, Facts, Item, Op } from "./record.ts";
import type { EventVersion, FinalRow, JobVersion, RowVersion } from "./rows.ts";
import { type SampleLease, SampleRows, TICK_US } from "./sample-rows.ts";

/** What becomes of a call. Of all but the first its caller does not know whether it happened. */
export type Fate = "answered" | "reply lost" | "request lost" | "killed";

export class SampleRun {
  readonly records: CallRecord[] = [];
  readonly #rows = new SampleRows();
  readonly #seen = new Set<string>();
  #calls = 0;

  get versions(): RowVersion[] {
    return this.#rows.versions;
  }

  get leases(): SampleLease[] {
    return this.#rows.leases;
  }

  job(job: string): JobVersion | undefined {
    return this.#rows.jobs.get(job);
  }

  get jobs(): string[] {
    return [...this.#rows.jobs.keys()];
  }

  pass(us: number): void {
    this.#rows.now += us;
  }

  dispatch(job: string, more: { fate?: Fate; maxAttempts?: number; handTo?: string; process?: string } = {}): void {
    const { fate, maxAttempts = 5, handTo } = more;
    this.#call(more.process ?? "producer/1", "dispatch", fate, { items: [{ job }] }, () => {
      const known = this.#rows.jobs.has(job);
      if (!known) this.#rows.begin(job, maxAttempts, handTo);
      return [{ job, status: known ? "KNOWN" : "CREATED" }];
    });
    if (handTo !== undefined && fate !== "request lost") this.push(job);
  }

  /** The Jobs frame with the job's newest lease arrives. */
  push(job: string): void {
    const lease = this.leases.findLast((one) => one.job === job);
    if (lease === undefined || this.#seen.has(lease.token)) return;
    this.#seen.add(lease.token);
    const { worker, token, attempt } = lease;
    const expiresAt = this.#rows.jobs.get(job)?.expiresAt ?? undefined;
    this.#record(`${worker}/1`, ++this.#calls, "told", "push", {
      worker,
      instance: `i-${worker}`,
      items: [{ job, token, attempt, expiresAt }],
    });
  }

  /** The broker claims for a stream; a frame that is lost reaches nobody. */
  claimForStream(job: string, worker: string, arrives = true): SampleLease | undefined {
    if (!this.#rows.isDue(job)) return undefined;
    this.#rows.transact(() => this.#rows.start(job, worker, `i-${worker}`));
    if (arrives) this.push(job);
    return this.leases.at(-1);
  }

  claim(job: string, worker: string, fate: Fate = "answered", note?: string): SampleLease | undefined {
    if (!this.#rows.isDue(job)) return undefined;
    this.#call(`${worker}/1`, "claim", fate, { worker, limit: 1, note }, () => {
      this.#rows.start(job, worker, null);
      const { token, attempt, expiresAt } = this.#rows.jobs.get(job) as JobVersion;
      return [{ job, token: token ?? "", attempt, expiresAt: expiresAt ?? 0 }];
    });
    return fate === "request lost" ? undefined : this.leases.at(-1);
  }

  /** The claim of this lease is sent again, as its answer was lost. */
  repeatClaim({ job, token, worker }: SampleLease, note: string, fate?: Fate): void {
    this.#call(`${worker}/1`, "claim", fate, { worker, limit: 1, note }, () => {
      const { expiresAt } = this.#rows.beat(job, token);
      return [{ job, token, attempt: this.#rows.jobs.get(job)?.attempt, expiresAt }];
    });
  }

  /** What an earlier try of the claim does, whose broker comes to it only now. */
  lateClaim({ job, token }: SampleLease): void {
    this.#rows.beat(job, token);
  }

  heartbeat({ job, token, worker }: SampleLease, fate?: Fate): void {
    this.#call(`${worker}/1`, "heartbeat", fate, { worker, items: [{ job, token }] }, () => [
      this.#rows.beat(job, token),
    ]);
  }

  /** The worker's stream begins again; what it does not hold is taken back. */
  hello(worker: string, held: SampleLease[], fate?: Fate): void {
    const items = held.map(({ job, token }) => ({ job, token }));
    this.#call(`${worker}/1`, "hello", fate, { worker, instance: `i-${worker}`, items }, () => {
      const answers = items.map(({ job, token }) => this.#rows.beat(job, token));
      for (const { job, instance, token } of this.#rows.jobs.values()) {
        if (instance === `i-${worker}` && !items.some((item) => item.token === token)) this.#rows.reclaimOne(job);
      }
      return answers;
    });
  }

  report(
    lease: SampleLease,
    as: "DONE" | "FAILED",
    more: { fate?: Fate; result?: string; retryable?: boolean } = {},
  ): void {
    const { job, token, worker } = lease;
    const { fate, result = as === "DONE" ? '{"ok":1}' : null, retryable = true } = more;
    const items = [{ job, token, status: as, result, retryable }];
    this.#call(`${worker}/1`, "report", fate, { worker, items }, () => {
      return [{ job, status: this.#rows.settle(job, token, as, result, retryable) }];
    });
  }

  release({ job, token, worker }: SampleLease, fate?: Fate): void {
    this.#call(`${worker}/1`, "release", fate, { worker, items: [{ job, token }] }, () => {
      const held = this.#rows.held(job, token);
      if (held) this.#rows.giveBack(job);
      return [{ job, status: held ? "RELEASED" : "KEPT" }];
    });
  }

  /** A stream ended before its worker acked the frame. */
  giveBackUnseen({ job, token }: SampleLease): void {
    const row = this.#rows.jobs.get(job);
    if (this.#rows.held(job, token) && row?.heartbeatAt === row?.lockedAt)
      this.#rows.transact(() => this.#rows.giveBack(job));
  }

  /** Takes back all that has run out. */
  reclaim(): void {
    for (const { job, status, expiresAt } of [...this.#rows.jobs.values()]) {
      const over = expiresAt !== null && expiresAt < this.#rows.now + TICK_US;
      if (status === "RUNNING" && over) this.#rows.transact(() => this.#rows.reclaimOne(job));
    }
  }

  cancel(job: string, fate?: Fate): void {
    this.#call("producer/1", "cancel", fate, { items: [{ job }] }, () => [{ job, status: this.#rows.cancel(job) }]);
  }

  retry(job: string, fate?: Fate): void {
    this.#call("producer/1", "retry", fate, { items: [{ job }] }, () => [{ job, status: this.#rows.retry(job) }]);
  }

  legacyReport(job: string, worker: string, as: "DONE" | "FAILED", fate?: Fate): void {
    const result = as === "DONE" ? '{"ok":2}' : null;
    this.#call(`${worker}/1`, "legacyReport", fate, { worker, items: [{ job, status: as, result }] }, () => {
      return [{ job, status: this.#rows.legacySettle(job, worker, as, result) }];
    });
  }

  /** Django publishes what it has inserted a moment ago. */
  publish(job: string, fate?: Fate): void {
    this.#call("django/1", "publish", fate, { items: [{ job }] }, () => {
      this.#rows.publish(job);
      return [{ job }];
    });
  }

  /** A subscriber is told of all that was written and that it was not told of. */
  watch(name = "watcher"): void {
    const told = this.records.filter(({ process }) => process === `${name}/1`).length;
    const events = this.versions.filter((row): row is EventVersion => row.table === "event");
    for (const { job, seq, event: status, attempt } of events.slice(told)) {
      this.#record(`${name}/1`, ++this.#calls, "told", "event", { items: [{ job, seq, status, attempt }] });
    }
  }

  /** Lets time pass and a worker do all that is left. */
  drain(): void {
    for (
      let round = 0;
      [...this.#rows.jobs.values()].some(({ status }) => !isTerminal(status)) && round < 50;
      round++
    ) {
      this.pass(200_000_000);
      this.reclaim();
      for (const job of this.#rows.jobs.keys()) {
        const lease = this.claim(job, "last");
        if (lease !== undefined) this.report(lease, "DONE");
      }
    }
  }

  final(): FinalRow[] {
    return this.#rows.final();
  }

  #call(process: string, op: Op, fate: Fate | undefined, facts: Facts, run: () => Item[]): void {
    const call = ++this.#calls;
    this.#record(process, call, "invoke", op, facts);
    const items = fate === "request lost" ? [] : this.#rows.transact(run);
    const { worker } = facts;
    if (fate === undefined || fate === "answered") this.#record(process, call, "ok", op, { worker, items });
    else if (fate !== "killed") this.#record(process, call, "unknown", op, { worker, note: "connection lost" });
  }

  #record(process: string, call: number, phase: CallRecord["phase"], op: Op, facts: Facts): void {
    this.#rows.now += TICK_US;
    this.records.push({ at: this.#rows.now, process, call, phase, op, ...facts });
  }
}
