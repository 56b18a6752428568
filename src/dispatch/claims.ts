/** Claims with everything around the statement: replay, the wait for a first job, the caller who leaves. */
import type { Logger } from "pino";
import type { KeptKinds } from "../job/events.ts";
import { replayClaim } from "../store/claim-replay.ts";
import type { Sql } from "../store/db.ts";
import type { LaneStarts } from "../store/lane-starts.ts";
import type { Lease, LeaseRef } from "../store/rows.ts";
import { createClaimGatherer } from "./claim-gatherer.ts";
import type { LostClaims } from "./lost-claims.ts";
import type { ClaimCall } from "./moves.ts";
import type { Recorder } from "./recorder.ts";
import { createReplays } from "./replays.ts";
import { runStatement } from "./statement.ts";
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
  /** Absent: always from the front of each lane. */
  starts?: LaneStarts;
  /** Absent: what a claim has left whose answer was lost runs out. */
  lost?: Pick<LostClaims, "watch">;
  /** Gives leases back unburnt, but for those that their worker has seen. */
  giveBack: (workerId: string, leases: LeaseRef[], reason: string) => Promise<unknown>;
}

export interface Claims {
  /** One try, with the leases' length as told. Tries that come at the same time share a statement. */
  now(call: Omit<ClaimCall, "waitMs">, leaseMs: number, signal?: AbortSignal): Promise<Lease[]>;
  /** The Claim of the contract; empty where the caller has left, whose new leases go back. */
  wait(call: ClaimCall, signal: AbortSignal): Promise<Lease[]>;
}

export function createClaims(options: ClaimsOptions): Claims {
  const { sql, waiters, log, leaseMs } = options;
  const inTurn = createReplays();
  const now = createClaimGatherer(options);

  async function once(call: ClaimCall, signal: AbortSignal): Promise<Lease[]> {
    const { workerId, requestId, maxJobs } = call;
    if (requestId !== null) {
      // Nobody waits: a sign of life now would keep jobs from going back that no worker has seen.
      if (signal.aborted) return [];
      const repeat = { workerId, requestId, limit: maxJobs, leaseMs, maxBytes: options.maxAnswerBytes };
      const { held, rest } = await runStatement(() => replayClaim(sql, repeat));
      // Nobody would work on them until they expire.
      if (rest.length > 0) await giveBackRest(workerId, rest);
      // An earlier try's answer may have reached the caller, who has left this one alone since: they stay its own.
      if (held.length > 0) return signal.aborted ? [] : held;
    }
    const deadline = performance.now() + call.waitMs;
    const ticket = waiters.join(call.types);
    try {
      for (;;) {
        const leases = await now(call, leaseMs, signal);
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

  /** What is left here goes back when it expires. */
  async function giveBackRest(workerId: string, rest: LeaseRef[]): Promise<void> {
    try {
      await options.giveBack(workerId, rest, "claimed twice, by two tries of one request");
    } catch (err) {
      log.warn(
        { err, worker: workerId, leases: rest.length },
        "leases that no answer has room for were not given back",
      );
    }
  }

  /** Whoever left while the statement ran must not hold its jobs for a whole lease. */
  async function kept(call: ClaimCall, leases: Lease[], signal: AbortSignal): Promise<Lease[]> {
    if (!signal.aborted) return leases;
    await options.giveBack(call.workerId, leases, "caller left");
    return [];
  }

  return { now, wait: (call, signal) => inTurn(call, signal, (own) => once(call, own)) };
}
