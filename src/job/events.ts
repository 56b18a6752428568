/** What can happen to a job, as its events name it. */

/**
 * dispatched: stored, PENDING. started: handed out, RUNNING. retrying: its attempt failed, PENDING again after a pause.
 * released: given back unworked, PENDING. reclaimed: its lease was lost, PENDING. retried: an operator has started the
 * ended job again, PENDING. done, failed, cancelled: ended.
 */
export const EVENT_KINDS = [
  "dispatched",
  "started",
  "retrying",
  "released",
  "reclaimed",
  "retried",
  "done",
  "failed",
  "cancelled",
] as const;

export type EventKind = (typeof EVENT_KINDS)[number];

/** Always kept: lists of ended jobs, rates and deliveries read them. */
export const TERMINAL_KINDS = ["done", "failed", "cancelled"] as const satisfies readonly EventKind[];

/** Kinds of which rows are written. */
export type KeptKinds = ReadonlySet<EventKind>;

export const ALL_KINDS: KeptKinds = new Set(EVENT_KINDS);
