/** Who counts calls and errors. Neither may throw or wait. */
import type { Reason } from "../errors.ts";

export interface CallRecorder {
  /** A call that had reached its handler is over, well or not. */
  ended(method: string): void;
  /** A request was answered with an error; `method` is one that is served, or `unknown`. */
  failed(method: string, reason: Reason): void;
}

/** Tells nobody. */
export const NO_CALLS: CallRecorder = { ended: () => undefined, failed: () => undefined };
