/** When an event that could not be delivered is tried again, and what its kind says of the job. */
import type { EventKind } from "./events.ts";
import type { Status } from "./status.ts";

const FIRST_MS = 5_000;
const DAY_MS = 86_400_000;

/** Tries of one event; then it is dead until somebody redelivers it. The waits between them come to 54 hours. */
export const MAX_TRIES = 10;

/** An event is given up, too, when so many hours after its first try it has not been delivered. */
export const MAX_HOURS = 72;

/** Up to this share of a wait is added at random, so that what failed together does not come back together. */
const JITTER = 0.2;

/** The wait after try `n` (from 1): 5 s, 20 s, 80 s, 5 min, 21 min, 85 min, 6 h, 23 h, then a day. */
export function deliveryDelayMs(n: number, random: () => number = Math.random): number {
  const plain = Math.min(DAY_MS, FIRST_MS * 4 ** Math.min(20, Math.max(0, n - 1)));
  return Math.round(plain * (1 + JITTER * random()));
}

/** Failed tries in a row after which an endpoint is asked with one event at a time, after pauses. */
export const CIRCUIT_FAILURES = 5;

const LONGEST_PAUSE_MS = 5 * 60_000;

/** How long an endpoint is left alone after so many failures in a row: none at first, then 5 s doubling to 5 min. */
export function circuitPauseMs(failures: number, random: () => number = Math.random): number {
  if (failures < CIRCUIT_FAILURES) return 0;
  const plain = Math.min(LONGEST_PAUSE_MS, FIRST_MS * 2 ** Math.min(20, failures - CIRCUIT_FAILURES));
  return Math.round(plain * (1 + JITTER * random()));
}

const STATUS_AFTER: Readonly<Record<EventKind, Status>> = {
  dispatched: "PENDING",
  started: "RUNNING",
  retrying: "PENDING",
  released: "PENDING",
  reclaimed: "PENDING",
  retried: "PENDING",
  done: "DONE",
  failed: "FAILED",
  cancelled: "CANCELLED",
};

/** The job's state when the event had happened. */
export function statusAfter(kind: EventKind): Status {
  return STATUS_AFTER[kind];
}
