/** Claims with everything around the statement: replay, the wait for a first job, the caller who leaves. */
import type { Logger } from "pino";
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import { claim, replayClaim } from "../store/claim.ts";
import type { Sql } from "../store/db.ts";
import type { Lease, LeaseRef } from "../store/rows.ts";
import { newLeaseToken } from "./lease-token.ts";
import type { ClaimCall } from "./moves.ts";
import { NO_RECORDER, type Recorder } from "./recorder.ts";
import { createReplays } from "./replays.ts";
import { recordedBy, runStatement } from "./statement.ts";
import { traceAll, traceClaimed } from "./trace.ts";
import type { Waiters } from "./waiters.ts";

export interface ClaimsOptions {
  sql: Sql;
  waiters: Waiters;
  log: Logger;
  leaseMs: number;
  maxAnswerBytes: number;
  keptKinds?: KeptKinds;
  /** Absent: nobody counts. */
  record?: Recorder;
  /** Gives leases back unburnt. */
  release: (workerId: string, leases: LeaseRef[], reason: string) => Promise<unknown>;
}

export interface Claims {
  /** One try, with the leases' length as told. */
  now(call: Omit<ClaimCall, "waitMs">, leaseMs: number): Promise<Lease[]>;
  /** The Claim of the contract. */
  wait(call: ClaimCall, signal: AbortSignal): Promise<Lease[]>;
}

export function createClaims(options: ClaimsOptions): Claims {
  const { sql, waiters, log, leaseMs, record = NO_RECORDER } = options;
  const run = recordedBy(record);
  const inTurn = createReplays();
  const maxBytes = options.maxAnswerBytes;
  const keptKinds = options.keptKinds ?? ALL_KINDS;

  async function now(call: Omit<ClaimCall, "waitMs">, leaseMs: number): Promise<Lease[]> {
    const token = newLeaseToken();
    const { workerId, types, maxJobs: limit, requestId } = call;
    const since = performance.now();
    const { leases, ended } = await run("claim", () =>
      claim(sql, { workerId, types, limit, leaseMs, maxBytes, token, requestId, kept: keptKinds }),
    );
    record.claimed(leases, ended, performance.now() - since);
    traceAll(log, "claim", ended);
    traceClaimed(log, leases);
    return leases;
  }

  async function once(call: ClaimCall, signal: AbortSignal): Promise<Lease[]> {
    const { workerId, requestId } = call;
    if (requestId !== null) {
      const held = await runStatement(() => replayClaim(sql, workerId, requestId, leaseMs));
      if (held.length > 0) return held;
    }
    const deadline = performance.now() + call.waitMs;
    const ticket = waiters.join(call.types);
    try {
      for (;;) {
        const leases = await now(call, leaseMs);
        if (leases.length > 0) return await kept(call, leases, signal);
        const leftMs = deadline - performance.now();
        if (leftMs <= 0) return [];
        log.debug({ worker: workerId, wait_ms: Math.round(leftMs) }, "a claim waits for a job");
        if (!(await ticket.woken(leftMs, signal))) return [];
      }
    } finally {
      ticket.leave();
    }
  }

  /** Whoever left while the statement ran must not hold its jobs for a whole lease. */
  async function kept(call: ClaimCall, leases: Lease[], signal: AbortSignal): Promise<Lease[]> {
    if (!signal.aborted) return leases;
    await options.release(call.workerId, leases, "caller left");
    return [];
  }

  return { now, wait: (call, signal) => inTurn(call, signal, (own) => once(call, own)) };
}
