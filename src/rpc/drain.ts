/** How a call learns that the server is stopping: a signal in its context, set by the server for each call. */
import { type ContextValues, createContextKey, createContextValues } from "@connectrpc/connect";

/** Aborts when the server begins to drain. Where no server set it (tests without a socket) it never does. */
const draining = createContextKey<AbortSignal>(new AbortController().signal, {
  description: "aborts when the server begins to drain",
});

/** The drain signal of a call. Open-ended streams end on it; anything else is left to finish. */
export function drainSignal(values: ContextValues): AbortSignal {
  return values.get(draining);
}

/** Context values that carry the server's drain signal. */
export function withDrainSignal(signal: AbortSignal): ContextValues {
  return createContextValues().set(draining, signal);
}
