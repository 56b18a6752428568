/**
 * Which move may take a job from where to where. The SQL of each move guards its own `from`; the test of this table
 * runs every move on a job in every state and holds the two together. Drawn in docs/lifecycle.md.
 */
import type { Status } from "./status.ts";

export const MOVES = {
  /** A worker takes the lease; one attempt is spent. A job with none left, or to be cancelled, ends here instead. */
  claim: { PENDING: ["RUNNING", "FAILED", "CANCELLED"] },
  /** The lease goes on. */
  heartbeat: { RUNNING: ["RUNNING"] },
  /** The attempt ends: done, failed for good, to be tried again, or cancelled. */
  report: { RUNNING: ["DONE", "FAILED", "PENDING", "CANCELLED"] },
  /** A legacy worker's report knows no lease: the first DONE wins, also on a job that waits. */
  legacyReport: { PENDING: ["DONE", "CANCELLED"], RUNNING: ["DONE", "FAILED", "PENDING", "CANCELLED"] },
  /** The worker gives the job back unworked; too often, and the job fails. */
  release: { RUNNING: ["PENDING", "FAILED", "CANCELLED"] },
  /** An operator takes the job from whoever has it. */
  releaseJobs: { RUNNING: ["PENDING", "FAILED", "CANCELLED"] },
  /** The lease ran out, or a cancelled worker did not stop in time. */
  reclaim: { RUNNING: ["PENDING", "FAILED", "CANCELLED"] },
  /** An operator ends the job; a running one goes on until its worker stops. */
  cancel: { PENDING: ["CANCELLED"], RUNNING: ["RUNNING"] },
  /** An operator starts an ended job again. */
  retry: { FAILED: ["PENDING"], CANCELLED: ["PENDING"] },
  /** An operator gives a job that waits another priority. */
  update: { PENDING: ["PENDING"] },
} as const satisfies Record<string, Partial<Record<Status, readonly Status[]>>>;

export type Move = keyof typeof MOVES;

/** Whether the move may take a job from `from` to `to`. Any may leave it where it is: a stale report changes nothing. */
export function isLegal(move: Move, from: Status, to: Status): boolean {
  const targets = (MOVES[move] as Partial<Record<Status, readonly Status[]>>)[from] ?? [];
  return from === to || targets.includes(to);
}
