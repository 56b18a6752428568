/** What can come of a move, as metrics name it: closed sets, and the way from the store's words to them. */
import type { Move } from "../dispatch/recorder.ts";
import type { LegacyReported, Reclaimed, Released, Renewal, Reported } from "../store/rows.ts";

export const OUTCOMES = {
  dispatch: ["dispatched", "known"],
  claim: ["claimed", "failed", "cancelled"],
  heartbeat: ["continue", "cancel", "lost"],
  report: ["done", "failed", "retrying", "cancelled", "duplicate", "conflict", "lease_lost", "not_found"],
  release: ["released", "failed", "cancelled", "not_held"],
  reclaim: ["reclaimed", "failed", "cancelled"],
  cancel: ["cancelled", "requested", "unchanged", "not_found"],
  retry: ["retried", "not_retryable", "not_found"],
} as const satisfies Record<Move, readonly string[]>;

export type Outcome<M extends Move = Move> = (typeof OUTCOMES)[M][number];

export const MOVES = Object.keys(OUTCOMES) as Move[];

export const HEARTBEATS: Readonly<Record<Renewal["verdict"], Outcome<"heartbeat">>> = {
  CONTINUE: "continue",
  CANCEL: "cancel",
  LOST: "lost",
};

export function reportOutcome({ status, to }: Reported): Outcome<"report"> {
  if (status === "ACCEPTED") return to === "DONE" ? "done" : "failed";
  return lower(status);
}

export function legacyOutcome({ verdict, to }: LegacyReported): Outcome<"report"> {
  if (verdict === "not_found") return "not_found";
  if (to === null) return "duplicate";
  if (to === "PENDING") return "retrying";
  return to === "DONE" ? "done" : endOf(to);
}

export function releaseOutcome({ released, to }: Released): Outcome<"release"> {
  if (!released) return "not_held";
  return to === "PENDING" ? "released" : endOf(to);
}

export function reclaimOutcome({ to }: Reclaimed): Outcome<"reclaim"> {
  return to === "PENDING" ? "reclaimed" : endOf(to);
}

/** Of a job that ended without success. */
export function endOf(to: string | null): "failed" | "cancelled" {
  return to === "CANCELLED" ? "cancelled" : "failed";
}

const LOWER: ReadonlyMap<string, string> = new Map(
  Object.values(OUTCOMES)
    .flat()
    .map((outcome) => [outcome.toUpperCase(), outcome]),
);

/** A word of the store as a label, without a new text for each job. */
export function lower<W extends string>(word: W): Lowercase<W> {
  return LOWER.get(word) as Lowercase<W>;
}
