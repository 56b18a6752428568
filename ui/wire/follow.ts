/** A stream of the broker's that is opened again whenever it ends, and says how it does. */
import { backoffMs } from "../../src/client/backoff.ts";
import { asBrokerError, BrokerError, isTransient } from "../../src/client/broker-error.ts";
import { pause } from "../../src/client/pause.ts";
import { SILENCE_MS, unlessSilent } from "../../src/client/silence.ts";

export type Link =
  | { kind: "connecting" }
  | { kind: "live" }
  /** It broke; the next try is made at that time of this machine's clock. */
  | { kind: "waiting"; error: BrokerError; untilMs: number }
  /** Trying again would not help. */
  | { kind: "refused"; error: BrokerError };

export interface Following<T> {
  open: (signal: AbortSignal) => AsyncIterable<T>;
  take: (message: T) => void;
  /** Told of each change. */
  link: (link: Link) => void;
  /** Aborted: the end. */
  signal: AbortSignal;
  /** Cuts a wait short, when there is reason to hope. */
  hurry?: () => AbortSignal;
}

const LIVE: Link = { kind: "live" };
/** A stream that ends sooner is no sign that all is well again. */
const HEALTHY_AFTER_MS = 2_000;

/** Runs until the signal or a refusal; never rejects. */
export async function follow<T>({ open, take, link, signal, hurry }: Following<T>): Promise<void> {
  link({ kind: "connecting" });
  for (let failures = 1; !signal.aborted; failures += 1) {
    let healthyFrom = Number.POSITIVE_INFINITY;
    let error: BrokerError;
    try {
      for await (const message of unlessSilent(open, { silenceMs: SILENCE_MS, signal })) {
        if (healthyFrom === Number.POSITIVE_INFINITY) {
          healthyFrom = performance.now() + HEALTHY_AFTER_MS;
          link(LIVE);
        }
        take(message);
      }
      error = new BrokerError("UNAVAILABLE", "the stream ended");
    } catch (thrown) {
      error = asBrokerError(thrown);
    }
    if (signal.aborted) return;
    if (!isTransient(error)) return link({ kind: "refused", error });
    if (performance.now() >= healthyFrom) failures = 1;
    const waitMs = backoffMs(failures, Math.random(), error.retryAfterMs);
    link({ kind: "waiting", error, untilMs: Date.now() + waitMs });
    await pause(waitMs, hurry === undefined ? signal : AbortSignal.any([signal, hurry()]));
  }
}
