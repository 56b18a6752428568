/** Ctrl-C and SIGTERM: the first asks to stop, the second ends the process at once. */
import { constants } from "node:os";

const STOPPING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

// One Ctrl-C can arrive several times within moments: from the terminal, which signals every process of the group, and
// again from each npm and launcher in between, which pass it on. A process manager that signals a whole group does the
// same with SIGTERM. A person's second Ctrl-C comes later than this.
const ECHO_MS = 250;

export interface StopSignals {
  /** Aborts with the first signal; its reason is the signal's name. */
  signal: AbortSignal;
  /** Gives the signals back to their default. */
  dispose(): void;
}

/** Listens until disposed. */
export function stopSignals(exit: (code: number) => void = process.exit): StopSignals {
  const controller = new AbortController();
  let firstAt = 0;
  const onSignal = (name: (typeof STOPPING)[number]) => {
    if (!controller.signal.aborted) {
      firstAt = performance.now();
      controller.abort(name);
    } else if (performance.now() - firstAt > ECHO_MS) {
      exit(128 + constants.signals[name]);
    }
  };
  for (const name of STOPPING) process.on(name, onSignal);
  return {
    signal: controller.signal,
    dispose: () => {
      for (const name of STOPPING) process.off(name, onSignal);
    },
  };
}
