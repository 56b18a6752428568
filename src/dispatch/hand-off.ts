/** How a dispatch is stored: jobs that free seats of this broker's streams wait for go to them in the same statement. */
import type { KeptKinds } from "../job/events.ts";
import { mayHaveHappened } from "../store/database-errors.ts";
import type { Sql } from "../store/db.ts";
import { dispatch } from "../store/dispatch.ts";
import { fromStarts, type LaneStarts } from "../store/lane-starts.ts";
import type { Dispatched, HandOff, NewJob, SeatLease } from "../store/rows.ts";
import { isTimeout } from "../store/statement-timeout.ts";
import { newLeaseToken } from "./lease-token.ts";
import { type LostClaims, NOT_WATCHED } from "./lost-claims.ts";
import type { RunMove } from "./statement.ts";
import type { Offer, Waiters } from "./waiters.ts";

export interface HandOffOptions {
  sql: Sql;
  waiters: Pick<Waiters, "offer" | "lookNow">;
  run: RunMove;
  leaseMs: number;
  maxAnswerBytes: number;
  keptKinds?: KeptKinds;
  /** Absent: always from the front of each lane. */
  starts?: LaneStarts;
  /** Absent: what went to a seat whose answer was lost runs out. */
  lost?: Pick<LostClaims, "watch">;
}

/** More jobs at a time are better off in claims of many. */
export const MOST_HANDED = 32;
/** In UTF-16 units: with a longer one the token, which has the id in it, would be longer than a token may be. */
const LONGEST_ID = 64;

/** Stores the jobs; those that went to a seat are on their way to it, and have their lease in the answer. */
export function createHandOff(options: HandOffOptions): (jobs: NewJob[]) => Promise<Dispatched[]> {
  const { sql, run, leaseMs, maxAnswerBytes: maxBytes, keptKinds, starts, lost = NOT_WATCHED } = options;

  /** For jobs that are alike, so that each seat is for its own job whichever of them is known already. */
  function offerFor(jobs: NewJob[]): Offer | undefined {
    const [first] = jobs;
    if (first === undefined || jobs.length > MOST_HANDED || !isHandable(jobs)) return undefined;
    return options.waiters.offer(
      first.type,
      jobs.map(({ payload }) => payload.length),
    );
  }

  const storeAll = (jobs: NewJob[]) => run("dispatch", () => dispatch(sql, jobs, keptKinds));

  /** Whoever claims next finds them, also where claims begin at starts that do not know their lanes. */
  function noteLanes(jobs: NewJob[]): void {
    let last: NewJob | undefined;
    for (const job of jobs) {
      if (job.type !== last?.type || job.priority !== last.priority) starts?.opened(job);
      last = job;
    }
  }

  async function store(jobs: NewJob[], offer: Offer, handOff: HandOff): Promise<Dispatched[]> {
    try {
      return await lost.watch(handOff.token, () =>
        run("dispatch", () =>
          fromStarts(starts, handOff.types, (from) => dispatch(sql, jobs, keptKinds, { ...handOff, from })),
        ),
      );
    } catch (err) {
      if (isTimeout(err)) {
        // To store it takes no look at the queue, which may be long over what a held snapshot keeps.
        offer.close([]);
        return await storeAll(jobs);
      }
      if (mayHaveHappened(err)) offer.lost();
      else offer.close([]);
      throw err;
    }
  }

  async function storeOrHandOff(jobs: NewJob[]): Promise<Dispatched[]> {
    const offer = offerFor(jobs);
    if (offer === undefined) return await storeAll(jobs);
    const { types, seats } = offer;
    const token = newLeaseToken();
    const stored = await store(jobs, offer, { types, seats, leaseMs, maxBytes, token });
    const leases = leasesOf(stored);
    offer.close(leases);
    const created = stored.filter((one) => one.created).length;
    // Something waits that this broker did not know of.
    if (leases.length < Math.min(created, seats.length)) options.waiters.lookNow();
    return stored;
  }

  // Noted also where the answer was lost, for then they may be stored.
  return (jobs) => storeOrHandOff(jobs).finally(() => noteLanes(jobs));
}

export function leasesOf(stored: Dispatched[]): SeatLease[] {
  return stored.flatMap(({ lease }) => lease ?? []);
}

/** Whether they are due and alike. */
export function isHandable(jobs: NewJob[]): boolean {
  const [first] = jobs;
  return jobs.every(({ type, priority, runAt, id }) => {
    return type === first?.type && priority === first.priority && runAt === null && id.length <= LONGEST_ID;
  });
}
