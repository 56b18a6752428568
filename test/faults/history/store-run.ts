/** The store's moves on a real database, recorded as the processes of the fault programme record their calls. */

import { cancel } from "../../../src/store/cancel.ts";
import { claim } from "../../../src/store/claim.ts";
import type { Database } from "../../../src/store/db.ts";
import { dispatch } from "../../../src/store/dispatch.ts";
import { heartbeat } from "../../../src/store/heartbeat.ts";
import { legacyReport } from "../../../src/store/legacy-report.ts";
import { release } from "../../../src/store/release.ts";
import { report } from "../../../src/store/report.ts";
import { retry } from "../../../src/store/retry.ts";
import type { Lease, Seat } from "../../../src/store/rows.ts";
import { done, newJob } from "../../support/jobs.ts";
import { nowUs } from "../pace.ts";
import type { CallRecord, Facts, Item, Op } from "./record.ts";
import type { Options } from "./violation.ts";

/** Short enough for a run to see all of them end. */
export const SETTINGS = {
  backoff: { baseMs: 1, maxMs: 4, jitter: 0 },
  maxDeliveries: 3,
  cancelGraceMs: 3_600_000,
} satisfies Partial<Options> & { backoff: { jitter: number } };

const micros = (date: Date): number => date.getTime() * 1_000;

export class StoreRun {
  readonly records: CallRecord[] = [];
  readonly leases: Lease[] = [];
  readonly #db: Database;
  #calls = 0;
  #last = 0;

  constructor(db: Database) {
    this.#db = db;
  }

  async dispatch(id: string, more: { maxAttempts?: number; key?: string; seat?: Seat } = {}): Promise<void> {
    const job = newJob({ id, maxAttempts: more.maxAttempts ?? 2, idempotencyKey: more.key ?? null, priority: 0 });
    const seats = more.seat === undefined ? [] : [more.seat];
    const handOff = { types: [], seats, leaseMs: 60_000, maxBytes: 1_000_000, token: `h${++this.#calls}` };
    const handed: Lease[] = [];
    await this.#call("producer/1", "dispatch", { items: [{ job: id, key: more.key }] }, async () => {
      const stored = await dispatch(this.#db.sql, [job], undefined, seats.length > 0 ? handOff : undefined);
      for (const { lease } of stored) if (lease) handed.push(lease);
      return stored.map(({ jobId, created }) => ({ job: jobId, status: created ? "CREATED" : "KNOWN" }));
    });
    for (const lease of handed) this.#had(lease, "told", "push", more.seat?.instanceId);
  }

  async claim(worker: string, limit = 1, leaseMs = 60_000): Promise<Lease[]> {
    const got: Lease[] = [];
    await this.#call(`${worker}/1`, "claim", { worker, limit }, async () => {
      const token = `t${++this.#calls}`;
      const options = { workerId: worker, types: [], limit, leaseMs, maxBytes: 1_000_000, token, requestId: null };
      got.push(...(await claim(this.#db.sql, options)).leases);
      return got.map(({ jobId: job, token: own, attempt, expiresAt }) => {
        return { job, token: own, attempt, expiresAt: micros(expiresAt) };
      });
    });
    this.leases.push(...got);
    return got;
  }

  async heartbeat(lease: Lease): Promise<void> {
    await this.#call(`${lease.workerId}/1`, "heartbeat", own(lease), async () => {
      const renewals = await heartbeat(this.#db.reserved, [{ ...lease, progress: null }], 60_000);
      return renewals.map(({ jobId: job, verdict: status, expiresAt }) => {
        return { job, status, ...(expiresAt !== null && { expiresAt: micros(expiresAt) }) };
      });
    });
  }

  async report(
    lease: Lease,
    as: "DONE" | "FAILED",
    retryable = true,
    result = `{"by":"${lease.token}"}`,
  ): Promise<void> {
    const facts = { status: as, result, retryable };
    await this.#call(`${lease.workerId}/1`, "report", own(lease, facts), async () => {
      const item = done(lease, { status: as, result, retryable, error: as === "FAILED" ? "it broke" : "" });
      const settled = await report(this.#db.reserved, [item], SETTINGS.backoff);
      return settled.map(({ jobId: job, status }) => ({ job, status }));
    });
  }

  async release(lease: Lease): Promise<void> {
    await this.#call(`${lease.workerId}/1`, "release", own(lease), async () => {
      const given = await release(this.#db.reserved, [lease], SETTINGS.maxDeliveries);
      return given.map(({ jobId: job, released }) => ({ job, status: released ? "RELEASED" : "KEPT" }));
    });
  }

  async legacyReport(job: string, worker: string, as: "DONE" | "FAILED"): Promise<void> {
    const result = as === "DONE" ? '{"old":1}' : null;
    await this.#call(`${worker}/1`, "legacyReport", { worker, items: [{ job, status: as, result }] }, async () => {
      const item = { jobId: job, workerId: worker, status: as, result, error: "failed" };
      const { verdict } = await legacyReport(this.#db.reserved, item, SETTINGS.backoff);
      return [{ job, status: verdict }];
    });
  }

  async cancel(job: string): Promise<void> {
    await this.#call("producer/1", "cancel", { items: [{ job }] }, async () => {
      const [ended] = await cancel(this.#db.sql, [job], "", SETTINGS.cancelGraceMs);
      return [{ job, status: ended?.outcome ?? "" }];
    });
  }

  async retry(job: string): Promise<void> {
    await this.#call("producer/1", "retry", { items: [{ job }] }, async () => {
      const [retried] = await retry(this.#db.sql, [job]);
      return [{ job, status: retried?.outcome ?? "" }];
    });
  }

  /** Which leases a stream's worker names as it comes back, before the broker looks. */
  hello(instance: string, held: Lease[]): void {
    const items = held.map(({ jobId: job, token }) => ({ job, token }));
    this.#record("stream/1", ++this.#calls, "invoke", "hello", { instance, items });
  }

  #had(lease: Lease, phase: "told", op: "push", instance: string | undefined): void {
    const { jobId: job, token, attempt, expiresAt, workerId: worker } = lease;
    this.leases.push(lease);
    const items = [{ job, token, attempt, expiresAt: micros(expiresAt) }];
    this.#record(`${worker}/1`, ++this.#calls, phase, op, { worker, instance, items });
  }

  async #call(process: string, op: Op, facts: Facts, run: () => Promise<Item[]>): Promise<void> {
    const call = ++this.#calls;
    this.#record(process, call, "invoke", op, facts);
    this.#record(process, call, "ok", op, { worker: facts.worker, items: await run() });
  }

  #record(process: string, call: number, phase: CallRecord["phase"], op: Op, facts: Facts): void {
    this.#last = Math.max(this.#last + 1, nowUs());
    this.records.push({ at: this.#last, process, call, phase, op, ...facts });
  }
}

function own({ jobId: job, token, workerId: worker }: Lease, more: Partial<Item> = {}): Facts {
  return { worker, items: [{ job, token, ...more }] };
}
