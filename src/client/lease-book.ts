/** The leases that a worker holds: what is heartbeated, and what it names when it connects again. */
import type { LeaseRef } from "../gen/aibroker/v1/job_pb.ts";
import { LeaseVerdict } from "../gen/aibroker/v1/worker_service_pb.ts";
import { Cancelled, LeaseLost } from "./failures.ts";
import type { Verdict } from "./handler.ts";

/** Told of each lease that comes and goes; both are called at most once for a lease. */
export interface LeaseWatcher {
  hold(lease: Lease): void;
  drop(lease: Lease): void;
}

export type LeaseName = Pick<LeaseRef, "jobId" | "leaseToken">;

/** One held lease, from the job's arrival to the broker's answer to its report. */
export class Lease implements LeaseName {
  readonly jobId: string;
  readonly leaseToken: string;
  /** Made when a handler asks for it: most never do, and one for each job is dear. */
  #stop: AbortController | undefined;
  #reason: Error | undefined;
  #lost = false;

  constructor({ jobId, leaseToken }: LeaseName) {
    this.jobId = jobId;
    this.leaseToken = leaseToken;
  }

  /** For the handler. */
  get signal(): AbortSignal {
    if (this.#stop === undefined) {
      this.#stop = new AbortController();
      if (this.#reason !== undefined) this.#stop.abort(this.#reason);
    }
    return this.#stop.signal;
  }

  /** Why the handler was asked to stop; undefined: it was not. */
  get reason(): Error | undefined {
    return this.#reason;
  }

  get isLost(): boolean {
    return this.#lost;
  }

  /** The first reason is the one that the handler sees. */
  abort(reason: Error): void {
    this.#reason ??= reason;
    this.#stop?.abort(reason);
  }

  lose(): void {
    this.#lost = true;
    this.abort(new LeaseLost("the lease was lost: the job is given to another worker, or has ended"));
  }
}

const WORDS: Readonly<Record<number, Verdict>> = {
  [LeaseVerdict.CONTINUE]: "CONTINUE",
  [LeaseVerdict.CANCEL]: "CANCEL",
  [LeaseVerdict.LOST]: "LOST",
};

/** The word for a verdict of the wire. */
export function verdictOf(verdict: LeaseVerdict | undefined): Verdict {
  return WORDS[verdict ?? LeaseVerdict.UNSPECIFIED] ?? "UNKNOWN";
}

export class LeaseBook {
  readonly #held = new Map<string, Lease>();
  readonly #watcher: LeaseWatcher;

  constructor(watcher: LeaseWatcher) {
    this.#watcher = watcher;
  }

  /** Undefined for a lease that is held already: some answers come twice. */
  add(name: LeaseName): Lease | undefined {
    if (this.#held.has(name.leaseToken)) return undefined;
    const lease = new Lease(name);
    this.#held.set(lease.leaseToken, lease);
    this.#watcher.hold(lease);
    return lease;
  }

  drop(leaseToken: string): void {
    const lease = this.#held.get(leaseToken);
    if (lease === undefined) return;
    this.#held.delete(leaseToken);
    this.#watcher.drop(lease);
  }

  /** What the broker says of a lease; one that is not held any more is past caring. Answers the lease. */
  judge(leaseToken: string, verdict: Verdict): Lease | undefined {
    const lease = this.#held.get(leaseToken);
    if (lease === undefined) return undefined;
    if (verdict === "CANCEL") lease.abort(new Cancelled("the job is to be cancelled"));
    if (verdict === "LOST") {
      this.drop(leaseToken);
      lease.lose();
    }
    return lease;
  }

  names(): LeaseName[] {
    return Array.from(this.#held.values(), ({ jobId, leaseToken }) => ({ jobId, leaseToken }));
  }

  get size(): number {
    return this.#held.size;
  }
}
