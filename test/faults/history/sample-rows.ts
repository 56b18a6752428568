/** The rows of the run that never was: each move writes the versions, results and events that a real one would. */
import { backoffMs } from "../../../src/job/retry.ts";
import { isTerminal, type Status } from "../../../src/job/status.ts";
import type { Item } from "./record.ts";
import type { EventVersion, FinalRow, JobVersion, RowVersion } from "./rows.ts";
import { DEFAULTS } from "./violation.ts";

export interface SampleLease {
  job: string;
  token: string;
  attempt: number;
  worker: string;
}

export const TICK_US = 100_000;
const LEASE_US = 60_000_000;

/** Columns as a lease leaves them when it ends. */
const FREE = { token: null, worker: null, instance: null, expiresAt: null, lockedAt: null };

export class SampleRows {
  readonly versions: RowVersion[] = [];
  /** All leases ever given, in their order. */
  readonly leases: SampleLease[] = [];
  readonly jobs = new Map<string, JobVersion>();
  readonly results = new Map<string, string | null>();
  now = 1_700_000_000_000_000;
  #tx = 700;

  transact<T>(run: () => T): T {
    this.now += TICK_US;
    this.#tx++;
    return run();
  }

  get #stamp() {
    return { nth: this.versions.length + 1, at: this.now + 50, now: this.now, tx: String(this.#tx) };
  }

  begin(job: string, maxAttempts: number, handTo: string | undefined): void {
    const start = { attempt: 0, deliveries: 0, returns: 0, ...FREE, heartbeatAt: null, nextRunAt: this.now };
    const row: JobVersion = {
      ...{ table: "job", change: "INSERT", job, was: null, status: "PENDING", maxAttempts, tenant: null, key: null },
      ...{
        ...this.#stamp,
        ...start,
        settledToken: null,
        settledAs: null,
        cancelRequestedAt: null,
        eventSeq: 1,
        move: 1,
      },
    };
    if (handTo !== undefined) Object.assign(row, this.leaseOf(job, handTo, `i-${handTo}`, 1), { eventSeq: 2 });
    this.jobs.set(job, row);
    this.versions.push(row);
    this.putEvent(job, 1, "dispatched", 0);
    if (handTo !== undefined) this.putEvent(job, 2, "started", 1);
  }

  leaseOf(job: string, worker: string, instance: string | null, attempt: number): Partial<JobVersion> {
    const token = `t${this.leases.length + 1}`;
    this.leases.push({ job, token, attempt, worker });
    const times = { lockedAt: this.now, heartbeatAt: this.now, expiresAt: this.now + LEASE_US };
    const deliveries = (this.jobs.get(job)?.deliveries ?? 0) + 1;
    return {
      status: "RUNNING",
      token,
      worker,
      instance,
      attempt,
      deliveries,
      ...times,
      settledToken: null,
      settledAs: null,
    };
  }

  start(job: string, worker: string, instance: string | null): void {
    this.move(job, this.leaseOf(job, worker, instance, (this.jobs.get(job)?.attempt ?? 0) + 1), "started");
  }

  beat(job: string, token: string): Item {
    if (!this.held(job, token)) return { job, token, status: "LOST" };
    const expiresAt = this.now + LEASE_US;
    this.write(job, { heartbeatAt: this.now, expiresAt });
    return { job, token, status: this.jobs.get(job)?.cancelRequestedAt === null ? "CONTINUE" : "CANCEL", expiresAt };
  }

  settle(job: string, token: string, as: "DONE" | "FAILED", result: string | null, retryable: boolean): string {
    const row = this.jobs.get(job);
    if (row === undefined) return "NOT_FOUND";
    if (row.settledToken === token)
      return row.settledAs === as ? "DUPLICATE" : row.settledAs === "CANCELLED" ? "CANCELLED" : "CONFLICT";
    if (!this.held(job, token)) return "LEASE_LOST";
    const cancelled = row.cancelRequestedAt !== null;
    const left = { ...FREE, settledToken: token, settledAs: cancelled ? "CANCELLED" : as, returns: 0 };
    if (cancelled) {
      this.move(job, { ...left, status: "CANCELLED" });
      return "CANCELLED";
    }
    if (as === "FAILED" && retryable && row.attempt < row.maxAttempts) {
      this.move(job, { ...left, status: "PENDING", nextRunAt: this.later(row.attempt) }, "retrying");
      return "RETRYING";
    }
    this.putResult(job, "INSERT", result);
    this.move(job, { ...left, status: as });
    return "ACCEPTED";
  }

  cancel(job: string): string {
    const row = this.jobs.get(job);
    if (row === undefined) return "NOT_FOUND";
    if (isTerminal(row.status)) return "UNCHANGED";
    const waits = row.status === "PENDING";
    this.move(job, { cancelRequestedAt: row.cancelRequestedAt ?? this.now, ...(waits && { status: "CANCELLED" }) });
    return waits ? "CANCELLED" : "REQUESTED";
  }

  retry(job: string): string {
    const row = this.jobs.get(job);
    if (row?.status !== "FAILED" && row?.status !== "CANCELLED") return "NOT_RETRYABLE";
    if (this.results.has(job)) this.putResult(job, "DELETE", this.results.get(job) ?? null);
    const fresh = { attempt: 0, returns: 0, cancelRequestedAt: null, nextRunAt: this.now, ...FREE };
    this.move(job, { status: "PENDING", ...fresh }, "retried");
    return "RETRIED";
  }

  legacySettle(job: string, worker: string, as: "DONE" | "FAILED", result: string | null): string {
    const row = this.jobs.get(job);
    if (row === undefined || isTerminal(row.status)) return "duplicate_ignored";
    if (as === "FAILED" && !(row.status === "RUNNING" && row.worker === worker)) return "duplicate_ignored";
    const left = { ...FREE, settledToken: null, settledAs: null, returns: 0 };
    if (row.cancelRequestedAt !== null) {
      this.move(job, { ...left, status: "CANCELLED", settledToken: row.token, settledAs: "CANCELLED" });
      return "duplicate_ignored";
    }
    const ends = as === "DONE" || row.attempt >= row.maxAttempts;
    if (ends) this.putResult(job, "INSERT", result);
    if (ends) this.move(job, { ...left, status: as });
    else this.move(job, { ...left, status: "PENDING", nextRunAt: this.later(row.attempt) }, "retrying");
    return as === "DONE" ? "done" : "failed_recorded";
  }

  /** As the triggers make Django's write whole. */
  publish(job: string): void {
    if (!this.jobs.has(job)) return;
    this.move(job, { ...FREE, status: "PENDING", nextRunAt: this.now, settledToken: null, settledAs: null });
  }

  giveBack(job: string): void {
    const row = this.jobs.get(job) as JobVersion;
    const cancelled = row.cancelRequestedAt !== null;
    const settled = cancelled ? { settledToken: row.token, settledAs: "CANCELLED" } : {};
    const left = { ...FREE, ...settled, attempt: row.attempt - 1, returns: row.returns + 1 };
    const fails = row.returns + 1 >= DEFAULTS.maxDeliveries;
    const status: Status = cancelled ? "CANCELLED" : fails ? "FAILED" : "PENDING";
    this.move(job, { ...left, status }, "released");
  }

  reclaimOne(job: string): void {
    const row = this.jobs.get(job) as JobVersion;
    const cancelled = row.cancelRequestedAt !== null;
    const settled = cancelled ? { settledToken: row.token, settledAs: "CANCELLED" } : {};
    const status: Status = cancelled ? "CANCELLED" : row.attempt >= row.maxAttempts ? "FAILED" : "PENDING";
    this.move(job, { ...FREE, ...settled, status, returns: 0 }, "reclaimed");
  }

  /** A transition, with its event; an ended job's is called after its state. */
  move(job: string, facts: Partial<JobVersion>, kind?: string): void {
    const row = this.jobs.get(job) as JobVersion;
    const moves = facts.status !== undefined && facts.status !== row.status;
    const eventSeq = row.eventSeq + (moves ? 1 : 0);
    this.write(job, { ...facts, eventSeq });
    const { status, attempt } = this.jobs.get(job) as JobVersion;
    const told = isTerminal(status) ? status.toLowerCase() : kind;
    if (moves && told !== undefined) this.putEvent(job, eventSeq, told, attempt);
  }

  write(job: string, facts: Partial<JobVersion>): void {
    const row = this.jobs.get(job) as JobVersion;
    const next = { ...row, ...facts, ...this.#stamp, change: "UPDATE" as const, was: row.status, move: row.move + 1 };
    this.jobs.set(job, next);
    this.versions.push(next);
  }

  putEvent(job: string, seq: number, event: string, attempt: number): void {
    const row = { table: "event", change: "INSERT", job, seq, event, attempt, worker: null, ...this.#stamp };
    this.versions.push(row as EventVersion);
  }

  putResult(job: string, change: "INSERT" | "DELETE", result: string | null): void {
    if (change === "DELETE") this.results.delete(job);
    else this.results.set(job, result);
    this.versions.push({ table: "result", change, job, result, ...this.#stamp });
  }

  held(job: string, token: string): boolean {
    const row = this.jobs.get(job);
    return row?.status === "RUNNING" && row.token === token;
  }

  isDue(job: string): boolean {
    const row = this.jobs.get(job);
    return row?.status === "PENDING" && row.nextRunAt <= this.now && row.attempt < row.maxAttempts;
  }

  later(attempt: number): number {
    return this.now + backoffMs(attempt, { ...DEFAULTS.backoff, jitter: 0 }) * 1_000;
  }

  final(): FinalRow[] {
    const rows: FinalRow[] = [];
    for (const [at, row] of [...this.jobs.values()].entries()) {
      const { job, status, attempt, token, eventSeq, nextRunAt, worker, expiresAt } = row;
      const place = { id: at + 1, type: "ocr", priority: 0, nextRunAt };
      rows.push({ table: "job", ...place, job, status, attempt, token, eventSeq });
      if (status === "PENDING") rows.push({ table: "ready", ...place });
      if (status === "RUNNING") rows.push({ table: "lease", id: place.id, worker, expiresAt });
      if (this.results.has(job)) rows.push({ table: "result", id: place.id, result: this.results.get(job) ?? null });
    }
    return rows;
  }
}
