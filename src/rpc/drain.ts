/** What the server gives each call to hold: a signal that it is stopping, and a way to hang up on a client. */
import { type ContextValues, createContextKey, createContextValues } from "@connectrpc/connect";
import type { AnyResponse } from "./connections.ts";

/** Aborts when the server begins to drain. Where no server set it (tests without a socket) it never does. */
const draining = createContextKey<AbortSignal>(new AbortController().signal, {
  description: "aborts when the server begins to drain",
});

/** The drain signal of a call. Open-ended streams end on it; anything else is left to finish. */
export function drainSignal(values: ContextValues): AbortSignal {
  return values.get(draining);
}

const hanging = createContextKey<(afterMs: number) => void>(() => undefined, { description: "cuts the answer" });

/** Cuts an answer that is not out after so long: one whose client does not read it would wait for ever. */
export function hangUp(values: ContextValues, afterMs: number): void {
  values.get(hanging)(afterMs);
}

/** Context values that carry both. */
export function callValues(drain: AbortSignal, res: AnyResponse): ContextValues {
  const cut = (afterMs: number) => {
    // Not by the call's signal: it aborts when the handler has ended, which is before its last words are out.
    const timer = setTimeout(() => res.destroy(), afterMs);
    timer.unref();
    res.once("close", () => clearTimeout(timer));
  };
  return createContextValues().set(draining, drain).set(hanging, cut);
}
