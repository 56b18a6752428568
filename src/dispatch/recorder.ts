/** What the moves tell whoever counts them. Whole batches, as they are: nothing is made for the sake of counting. */
import type * as rows from "../store/rows.ts";

/** Each is one statement of the store. */
export type Move = "dispatch" | "claim" | "heartbeat" | "report" | "release" | "reclaim" | "cancel" | "retry";

/** None of these may throw or wait. */
export interface Recorder {
  /** A statement begins. */
  began(move: Move): void;
  /** It has ended, well or not. */
  ended(move: Move, tookMs: number): void;
  /** So many items go into one statement. */
  gathered(move: "heartbeat" | "report", items: number): void;
  dispatched(jobs: readonly rows.NewJob[], stored: readonly rows.Dispatched[]): void;
  /** `ended`: jobs that had no attempt left, or were to be cancelled. */
  claimed(leases: readonly rows.Lease[], ended: readonly rows.Reclaimed[], tookMs: number): void;
  renewed(renewals: readonly rows.Renewal[]): void;
  /** Both in the same order. */
  reported(reports: readonly rows.LeaseRef[], settled: readonly rows.Reported[], tookMs: number): void;
  legacyReported(settled: rows.LegacyReported): void;
  /** Both in the same order. */
  released(leases: readonly rows.LeaseRef[], released: readonly rows.Released[]): void;
  reclaimed(taken: readonly rows.Reclaimed[]): void;
  cancelled(cancelled: readonly rows.Cancelled[]): void;
  retried(retried: readonly rows.Retried[]): void;
}

/** As `record`, and whoever waits for events hears that some may have been written. */
export function nudging(record: Recorder, ...nudges: (() => void)[]): Recorder {
  return {
    ...record,
    ended(move, tookMs) {
      record.ended(move, tookMs);
      if (move !== "heartbeat") for (const nudge of nudges) nudge();
    },
  };
}

const nothing = () => undefined;

/** Tells nobody. */
export const NO_RECORDER: Recorder = {
  began: nothing,
  ended: nothing,
  gathered: nothing,
  dispatched: nothing,
  claimed: nothing,
  renewed: nothing,
  reported: nothing,
  legacyReported: nothing,
  released: nothing,
  reclaimed: nothing,
  cancelled: nothing,
  retried: nothing,
};
