/** What the dashboard's clock cannot tell apart. */

/** It ticks this often: who counts seconds needs no more. */
export const TICK_MS = 1_000;

/** The database's clock is learnt from answers that were under way for a while; less than that is no difference. */
export const LEARNT_TO_MS = 500;

/** Whether a moment `sinceMs` ago lies ahead for certain. One that has just passed may seem to, by the clock's grain. */
export function isAhead(sinceMs: number): boolean {
  return sinceMs < -(TICK_MS + LEARNT_TO_MS);
}
