/**
 * What the processes of the fault programme write down: a line of JSON when a call begins and one when it ends, or one
 * line for what was told unasked. A call that is cut off has no answer, so nobody knows whether it happened, and the
 * check takes whichever fits; it may not be written as failed.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { nowUs } from "../pace.ts";
import { readLines } from "./lines.ts";

/**
 * invoke: the call is about to be sent · ok: it was answered · fail: an answer says that it did not happen · unknown: a
 * time-out, a cut connection · told: no call, something arrived or happened by itself.
 */
export const PHASES = ["invoke", "ok", "fail", "unknown", "told"] as const;
export type Phase = (typeof PHASES)[number];

/**
 * Calls: dispatch, cancel, retry, claim, heartbeat, report, release, legacyClaim, legacyReport, hello (a Work stream begins, or
 * begins again; its items are the leases that the worker holds), publish (Django makes the job that it has just inserted
 * PENDING, whatever has become of it since). Told: push (a Jobs frame came), event (a watcher or a webhook was told),
 * fault (the nemesis did something), note (anything for the reader).
 */
export const OPS = [
  "dispatch",
  "cancel",
  "retry",
  "claim",
  "heartbeat",
  "report",
  "release",
  "legacyClaim",
  "legacyReport",
  "hello",
  "publish",
  "push",
  "event",
  "fault",
  "note",
] as const;
export type Op = (typeof OPS)[number];

/** What a line says of one job. An answer's items stand in the order of the call's, but those of claims, which ask for none. */
export interface Item {
  job: string;
  token?: string;
  attempt?: number;
  /**
   * Invoked: of report and legacyReport, DONE or FAILED. Answered: dispatch CREATED, KNOWN · report ReportStatus ·
   * heartbeat, hello CONTINUE, CANCEL, LOST · release RELEASED, KEPT · cancel CANCELLED, REQUESTED, UNCHANGED,
   * NOT_FOUND · retry RETRIED, NOT_RETRYABLE, NOT_FOUND · legacyReport done, failed_recorded, duplicate_ignored,
   * not_found. Of an event its kind.
   */
  status?: string;
  /** Answered by dispatch, claim, push, heartbeat: until when the lease runs; µs since 1970. */
  expiresAt?: number;
  /** Invoked by report: JSON text, null for none. */
  result?: string | null;
  retryable?: boolean;
  retryDelayMs?: number;
  /** Invoked by dispatch. */
  key?: string;
  tenant?: string;
  /** Of an event. */
  seq?: number;
}

export interface Facts {
  items?: Item[];
  /** The worker id under which it was sent. */
  worker?: string;
  instance?: string;
  /** Most jobs that a claim asked for; of a push, that its worker has said it takes at a time. */
  limit?: number;
  /** How often the call was sent, where a client repeats by itself; absent: once. */
  sent?: number;
  /** For the reader: what the nemesis did, which error came. */
  note?: string;
}

export interface CallRecord extends Facts {
  /** µs since 1970; never the same twice in one process. */
  at: number;
  /** Name and pid, so that one that was killed and started again is another process. */
  process: string;
  /** Numbers the calls of a process; told lines have numbers of their own. */
  call: number;
  phase: Phase;
  op: Op;
}

/** A call under way. Just one of the three is called, once; none, if the process is killed first. */
export interface Call {
  ok(facts?: Facts): void;
  fail(note: string, facts?: Facts): void;
  unknown(note: string, facts?: Facts): void;
}

export interface Recorder {
  readonly process: string;
  invoke(op: Op, facts?: Facts): Call;
  told(op: Op, facts?: Facts): void;
  close(): void;
}

/**
 * Appends to `file`, one write for each line, so that whatever was written before a kill -9 is there: the kernel has it.
 * What a killed process has left of its last line is cut off.
 */
export function openRecorder(file: string, name: string): Recorder {
  cutTorn(file);
  const handle = openSync(file, "a");
  const process = `${name}/${globalThis.process.pid}`;
  const now = clock();
  let calls = 0;
  const write = (call: number, phase: Phase, op: Op, facts: Facts = {}) => {
    const record: CallRecord = { at: now(), process, call, phase, op, ...facts };
    const line = Buffer.from(`${JSON.stringify(record)}\n`);
    for (let from = 0; from < line.length; ) from += writeSync(handle, line, from);
  };
  return {
    process,
    invoke(op, facts) {
      const call = ++calls;
      write(call, "invoke", op, facts);
      return {
        ok: (answer) => write(call, "ok", op, answer),
        fail: (note, answer) => write(call, "fail", op, { ...answer, note }),
        unknown: (note, answer) => write(call, "unknown", op, { ...answer, note }),
      };
    },
    told: (op, facts) => write(++calls, "told", op, facts),
    close: () => closeSync(handle),
  };
}

/** Each answer is a later one. */
function clock(): () => number {
  let last = 0;
  return () => {
    last = Math.max(last + 1, nowUs());
    return last;
  };
}

function cutTorn(file: string): void {
  const handle = openSync(file, "a+");
  try {
    const bytes = readFileSync(handle);
    const whole = bytes.lastIndexOf(0x0a) + 1;
    if (whole < bytes.length) ftruncateSync(handle, whole);
  } finally {
    closeSync(handle);
  }
}

/** All whole lines of a file; a torn last one is left out. */
export function readRecords(file: string): CallRecord[] {
  return readLines(file, asRecord);
}

function asRecord(value: Record<string, unknown>): CallRecord | string {
  const { at, process, call, phase, op, items } = value;
  if (typeof at !== "number") return "at must be a number (µs since 1970)";
  if (typeof process !== "string" || process === "") return "process must be a text";
  if (typeof call !== "number") return "call must be a number";
  if (!PHASES.includes(phase as Phase)) return `phase must be one of ${PHASES.join(", ")}`;
  if (!OPS.includes(op as Op)) return `op must be one of ${OPS.join(", ")}`;
  if (items !== undefined && !(Array.isArray(items) && items.every(isItem)))
    return "items must be a list, each with a job";
  return value as unknown as CallRecord;
}

function isItem(value: unknown): boolean {
  return typeof value === "object" && value !== null && typeof (value as Item).job === "string";
}
