/** SIGTERM and SIGINT as an AbortSignal. */

export interface StopSignals {
  readonly signal: AbortSignal;
  /** Leaves the process as it was. */
  dispose(): void;
}

/** Takes the first signal; a second one ends the process, as it would without us. */
export function stopSignals(): StopSignals {
  const stop = new AbortController();
  const dispose = () => {
    process.off("SIGTERM", onSignal);
    process.off("SIGINT", onSignal);
  };
  const onSignal = (name: NodeJS.Signals) => {
    dispose();
    stop.abort(new Error(name));
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return { signal: stop.signal, dispose };
}
