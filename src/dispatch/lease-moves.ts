/** Leases: how one begins, is kept, and goes back. */
import { ALL_KINDS } from "../job/events.ts";
import { heartbeat } from "../store/heartbeat.ts";
import { reclaim } from "../store/reclaim.ts";
import { release } from "../store/release.ts";
import type * as rows from "../store/rows.ts";
import { createClaims } from "./claims.ts";
import { createCoalescer, unlessLost } from "./coalescer.ts";
import type { BrokerMoves } from "./moves.ts";
import type { MovesOptions } from "./moves-options.ts";
import { NO_RECORDER } from "./recorder.ts";
import { recordedBy } from "./statement.ts";
import { traceAll } from "./trace.ts";
import { wake } from "./wake.ts";

/** Leases that one reclaim takes back at most. */
const RECLAIM_BATCH = 500;
const HEARTBEAT_BATCH = 5_000;

type LeaseMove = "claim" | "heartbeat" | "release" | "giveBack" | "reclaim" | "reclaimed" | "legacyNext";

/** How a lease begins, is kept, and goes back. */
export function leaseMoves(options: MovesOptions): Pick<BrokerMoves, LeaseMove> {
  const { db, log, news, record = NO_RECORDER, keptKinds: kept = ALL_KINDS } = options;
  const run = recordedBy(record);
  const beat = (items: rows.Beat[]) => {
    record.gathered("heartbeat", items.length);
    return run("heartbeat", () => heartbeat(db.reserved, items, options.leaseMs));
  };
  const beats = createCoalescer(beat, HEARTBEAT_BATCH, { again: unlessLost });
  const giveBack = (workerId: string, leases: rows.LeaseRef[], reason: string) =>
    giveUp(workerId, leases, reason, true);
  const claims = createClaims({ ...options, sql: db.sql, giveBack });

  const sweep = shared(takeBack);

  async function giveUp(
    workerId: string,
    leases: rows.LeaseRef[],
    reason: string,
    unseenOnly = false,
  ): Promise<rows.Released[]> {
    const released = await run("release", () => release(db.reserved, leases, options.maxDeliveries, unseenOnly, kept));
    record.released(leases, released);
    traceAll(log, "release", released, () => ({ worker: workerId, why: reason }));
    released.forEach((r, at) => {
      // One that its worker has named since stays on its stream.
      if (r.released || !unseenOnly) news.settled(leases[at] as rows.LeaseRef, r.instanceId);
    });
    wake(options, released);
    return released;
  }

  async function takeBack(): Promise<{ full: boolean }> {
    const taken = await run("reclaim", () => reclaim(db.sql, RECLAIM_BATCH, kept));
    reclaimed(taken);
    return { full: taken.length === RECLAIM_BATCH };
  }

  function reclaimed(taken: rows.Reclaimed[]): void {
    record.reclaimed(taken);
    traceAll(log, "reclaim", taken, (r) => ({ worker: r.workerId }));
    for (const r of taken) {
      news.lost(r.token, r.instanceId);
    }
    wake(options, taken);
  }

  return {
    claim: claims.wait,
    release: giveUp,
    giveBack,
    reclaim: takeBack,
    reclaimed,
    async heartbeat(_workerId, items) {
      const renewals = await beats.add(items);
      record.renewed(renewals);
      renewals.forEach(({ verdict }, at) => {
        // The answer says so: nothing is pushed.
        if (verdict === "LOST") news.settled(items[at] as rows.LeaseRef, null);
      });
      return renewals;
    },
    async legacyNext(workerId) {
      // As Django's: what has expired may be the job that is asked for.
      await sweep();
      const [lease] = await claims.now({ workerId, types: [], maxJobs: 1, requestId: null }, options.shimLeaseMs);
      return lease ?? null;
    },
  };
}

/** Whoever asks while one runs shares the next one: it begins after all of them have asked. */
function shared(run: () => Promise<unknown>): () => Promise<unknown> {
  const runs = createCoalescer<null, null>(async (asked) => {
    await run();
    return asked;
  }, Number.POSITIVE_INFINITY);
  return () => runs.add([null]);
}
