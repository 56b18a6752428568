/**
 * Claims by call that come while a claim is under way go together into the next: one statement for many calls, where one
 * for each would have Postgres look for the same first job again and again. A lone call goes at once, by itself.
 */
import type { Logger } from "pino";
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import { claim, claimForCalls } from "../store/claim.ts";
import type { Sql } from "../store/db.ts";
import type { LaneStarts } from "../store/lane-starts.ts";
import type { Claimer, Lease, Reclaimed } from "../store/rows.ts";
import { type Coalescer, createCoalescer, createCoalescers, unlessLost } from "./coalescer.ts";
import { newLeaseToken } from "./lease-token.ts";
import { type LostClaims, NOT_WATCHED } from "./lost-claims.ts";
import type { ClaimCall } from "./moves.ts";
import { NO_RECORDER, type Recorder } from "./recorder.ts";
import { recordedBy } from "./statement.ts";
import { traceAll, traceClaimed } from "./trace.ts";

export interface ClaimGathererOptions {
  sql: Sql;
  log: Logger;
  maxAnswerBytes: number;
  keptKinds?: KeptKinds;
  /** Absent: nobody counts. */
  record?: Recorder;
  /** Absent: always from the front of each lane. */
  starts?: LaneStarts;
  /** Absent: what a claim has left whose answer was lost runs out. */
  lost?: Pick<LostClaims, "watch">;
}

/** One try to get jobs. Whoever leaves before its statement begins gets none. */
export type GatheredClaim = (
  call: Omit<ClaimCall, "waitMs">,
  leaseMs: number,
  signal?: AbortSignal,
) => Promise<Lease[]>;

interface Waiting extends Claimer {
  signal: AbortSignal | undefined;
}

interface Got {
  leases: Lease[];
  /** It got none although there are more: others of its statement have filled the answer. */
  again: boolean;
}

/** Jobs that one statement takes, as for the seats of streams. */
const MOST_JOBS = 1_000;

export function createClaimGatherer(options: ClaimGathererOptions): GatheredClaim {
  const groups = createCoalescers<Waiting, Got>();
  return async ({ workerId, types, maxJobs: limit, requestId }, leaseMs, signal) => {
    const key = JSON.stringify([leaseMs, types.toSorted()]);
    const create = () => createClaimCoalescer(options, types, leaseMs);
    for (;;) {
      const [got] = await groups.add(key, [{ workerId, limit, requestId, signal }], create);
      if (!got?.again || signal?.aborted) return got?.leases ?? [];
    }
  };
}

function createClaimCoalescer(
  options: ClaimGathererOptions,
  types: string[],
  leaseMs: number,
): Coalescer<Waiting, Got> {
  const { sql, log, maxAnswerBytes: maxBytes, record = NO_RECORDER, starts, lost = NOT_WATCHED } = options;
  const run = recordedBy(record);
  const common = { types, leaseMs, maxBytes, kept: options.keptKinds ?? ALL_KINDS, ...(starts && { starts }) };

  async function take(calls: Claimer[]): Promise<{ leases: Lease[][]; ended: Reclaimed[]; isShort: boolean }> {
    const token = newLeaseToken();
    const [only, ...others] = calls;
    if (only === undefined) return { leases: [], ended: [], isShort: true };
    if (others.length > 0) return await lost.watch(token, () => claimForCalls(sql, { ...common, token, calls }));
    const { leases, ended } = await lost.watch(token, () => claim(sql, { ...common, ...only, token }));
    return { leases: [leases], ended, isShort: true };
  }

  // Not again where the answer was lost: what it may have claimed would be held by nobody, twice.
  return createCoalescer(
    async (waiting) => {
      const there = waiting.filter(({ signal }) => !signal?.aborted);
      const since = performance.now();
      const { leases, ended, isShort } = there.length === 0 ? await take([]) : await run("claim", () => take(there));
      const all = leases.flat();
      record.claimed(all, ended, performance.now() - since);
      traceAll(log, "claim", ended);
      traceClaimed(log, all);
      const byCall = new Map(there.map((call, at) => [call, leases[at]]));
      return waiting.map((call) => {
        const own = byCall.get(call) ?? [];
        return { leases: own, again: own.length === 0 && !isShort };
      });
    },
    MOST_JOBS,
    { weigh: ({ limit }) => limit, again: unlessLost },
  );
}
