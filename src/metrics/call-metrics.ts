/** Calls by method, and errors by method and reason. */
import type { Reason } from "../errors.ts";
import { Tally } from "./tally.ts";

export interface CallMetrics {
  calls: Tally<"ended">;
  errors: Tally<Reason>;
  /** A call is over, well or not. */
  ended(method: string): void;
  /** A call, or a request that was none, got this for an answer. */
  failed(method: string, reason: Reason): void;
}

/** Callers name methods that are served, or `unknown`: a closed set, whatever is asked for. */
export function createCallMetrics(reasons: readonly Reason[]): CallMetrics {
  const calls = new Tally<"ended">(["ended"]);
  const errors = new Tally<Reason>(reasons);
  return {
    calls,
    errors,
    ended: (method) => calls.add(method, "ended"),
    failed: (method, reason) => errors.add(method, reason),
  };
}
