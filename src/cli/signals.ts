/** Ctrl-C and SIGTERM: the first asks to stop, the second ends the process at once. */
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type Environment, environment } from "../config.ts";

const STOPPING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

// One Ctrl-C can arrive several times within moments: from the terminal, which signals every process of the group, and
// again from each npm and launcher in between, which pass it on. A process manager that signals a whole group does the
// same with SIGTERM. A person's second Ctrl-C comes later than this.
const ECHO_MS = 250;

const PARENT_EVERY_MS = 200;

export interface StopSignals {
  /** Aborts with the first signal; its reason is the signal's name. */
  signal: AbortSignal;
  /** Gives the signals back to their default. */
  dispose(): void;
}

export interface StopOptions {
  /** Ends the process at once. */
  exit?: (code: number) => void;
  /** Its parent's end counts as a SIGTERM; default: what isUnderNpm says. */
  underNpm?: boolean;
}

/** Whether npm or npx started this process and waits for its end; a script with & in it may mean to leave us behind. */
export function isUnderNpm(env: Environment = environment()): boolean {
  return env["npm_lifecycle_script"]?.includes("&") === false;
}

/** Listens until disposed. */
export function stopSignals({ exit = process.exit, underNpm = isUnderNpm() }: StopOptions = {}): StopSignals {
  const controller = new AbortController();
  const disposed = new AbortController();
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
  if (underNpm) void parentIsGone(disposed.signal).then((gone) => gone && onSignal("SIGTERM"));
  return {
    signal: controller.signal,
    dispose: () => {
      disposed.abort();
      for (const name of STOPPING) process.off(name, onSignal);
    },
  };
}

/**
 * Resolves with true when another process has become our parent. npm and npx hand SIGTERM to the shell that they start
 * us with, and that shell dies of it without a word to us: we would go on for ever, with nobody who knows of us.
 */
async function parentIsGone(until: AbortSignal): Promise<boolean> {
  const parent = process.ppid;
  while (!until.aborted) {
    if (process.ppid !== parent) return true;
    await sleep(PARENT_EVERY_MS, undefined, { ref: false, signal: until }).catch(() => undefined);
  }
  return false;
}
