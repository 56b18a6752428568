/** How a dispatch is stored: jobs that free seats of this broker's streams wait for go to them in the same statement. */
import { randomBytes } from "node:crypto";
import type { KeptKinds } from "../job/events.ts";
import type { Sql } from "../store/db.ts";
import { dispatch } from "../store/dispatch.ts";
import type { Dispatched, HandOff, NewJob, SeatLease } from "../store/rows.ts";
import type { RunMove } from "./statement.ts";
import type { Offer, Waiters } from "./waiters.ts";

export interface HandOffOptions {
  sql: Sql;
  waiters: Pick<Waiters, "offer" | "lookNow">;
  run: RunMove;
  leaseMs: number;
  maxAnswerBytes: number;
  keptKinds?: KeptKinds;
}

/** More jobs at a time are better off in claims of many. */
const MOST_HANDED = 32;

/** Stores the jobs; those that went to a seat are on their way to it, and have their lease in the answer. */
export function createHandOff(options: HandOffOptions): (jobs: NewJob[]) => Promise<Dispatched[]> {
  const { sql, run, leaseMs, maxAnswerBytes: maxBytes, keptKinds } = options;

  /** For jobs that are alike, so that which of them is for which seat is known beforehand. */
  function offerFor(jobs: NewJob[]): Offer | undefined {
    const [first] = jobs;
    if (first === undefined || jobs.length > MOST_HANDED) return undefined;
    const isLike = (job: NewJob) => job.type === first.type && job.priority === first.priority && job.runAt === null;
    return jobs.every(isLike) ? options.waiters.offer(first.type, jobs.length) : undefined;
  }

  return async (jobs) => {
    const offer = offerFor(jobs);
    if (offer === undefined) return await run("dispatch", () => dispatch(sql, jobs, keptKinds));
    const { types, seats } = offer;
    const handOff: HandOff = { types, seats, leaseMs, maxBytes, token: randomBytes(16).toString("base64url") };
    try {
      const stored = await run("dispatch", () => dispatch(sql, jobs, keptKinds, handOff));
      const leases = leasesOf(stored);
      offer.close(leases);
      const created = stored.filter((one) => one.created).length;
      // Something waits that this broker did not know of.
      if (leases.length < Math.min(created, seats.length)) options.waiters.lookNow();
      return stored;
    } catch (err) {
      // It may have been stored, and only the answer lost: no worker knows of such a lease.
      offer.lost(
        seats.flatMap(({ workerId }, at) => {
          const jobId = jobs[at]?.id;
          return jobId === undefined ? [] : { workerId, jobId, token: `${handOff.token}.${jobId}` };
        }),
      );
      throw err;
    }
  };
}

export function leasesOf(stored: Dispatched[]): SeatLease[] {
  return stored.flatMap(({ lease }) => lease ?? []);
}
