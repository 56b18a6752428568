/** Claims that may be sent twice. */
import type { Lease } from "../store/rows.ts";
import type { ClaimCall } from "./moves.ts";

/** One try of a claim; the signal aborts when its caller has left. */
export type ClaimRun = (signal: AbortSignal) => Promise<Lease[]>;

/**
 * Calls with one request_id run one after the other, so that a repeat is answered with the first one's leases instead
 * of taking more. A repeat ends the wait of the call before it, whose caller has given up on it.
 */
export function createReplays(): (call: ClaimCall, signal: AbortSignal, run: ClaimRun) => Promise<Lease[]> {
  const running = new Map<string, { turn: Promise<unknown>; giveUp: AbortController }>();
  return async (call, signal, run) => {
    if (call.requestId === null) return run(signal);
    const key = JSON.stringify([call.workerId, call.requestId]);
    const before = running.get(key);
    before?.giveUp.abort();
    const giveUp = new AbortController();
    const turn = (async () => {
      await before?.turn.catch(() => {});
      return run(AbortSignal.any([signal, giveUp.signal]));
    })();
    running.set(key, { turn, giveUp });
    try {
      return await turn;
    } finally {
      if (running.get(key)?.turn === turn) running.delete(key);
    }
  };
}
