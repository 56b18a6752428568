/** Every move of a job as the edges call it: the store's statement, with its wake-up and its log line around it. */
import type { Status } from "../job/status.ts";
import type * as rows from "../store/rows.ts";

export interface ClaimCall {
  workerId: string;
  /** Empty: any type. */
  types: string[];
  maxJobs: number;
  /** 0: answer at once. */
  waitMs: number;
  requestId: string | null;
}

export interface Moves {
  dispatch(jobs: rows.NewJob[]): Promise<rows.Dispatched[]>;
  /** Waits up to waitMs for a first job; ends early with nothing when the signal aborts or the broker stops. */
  claim(call: ClaimCall, signal: AbortSignal): Promise<rows.Lease[]>;
  /** Answers in the order of the request. */
  heartbeat(workerId: string, beats: rows.Beat[]): Promise<rows.Renewal[]>;
  report(workerId: string, reports: rows.Report[]): Promise<rows.Reported[]>;
  release(workerId: string, leases: rows.LeaseRef[], reason: string): Promise<rows.Released[]>;
  cancel(jobIds: string[], reason: string): Promise<rows.Cancelled[]>;
  retry(jobIds: string[]): Promise<rows.Retried[]>;
  /** Gives those that wait another priority. */
  update(jobIds: string[], priority: number): Promise<rows.Updated[]>;
  /** Takes running jobs from their workers. delayMs: how long nobody gets them again. */
  releaseJobs(jobIds: string[], reason: string, delayMs: number): Promise<rows.Taken[]>;
  /** A type may be handed out again: its jobs are there at once for who waits, here and on the other brokers. */
  resumed(): void;
  /** A legacy worker's poll: reclaims what has expired, then claims one job of any type. */
  legacyNext(workerId: string): Promise<rows.Lease | null>;
  legacyReport(report: rows.LegacyReport): Promise<rows.LegacyVerdict>;
  /** For a legacy report that cannot be stored: changes nothing; null when there is no such job. */
  legacyStatus(jobId: string): Promise<Status | null>;
}

/** With the moves that happen by themselves. */
export interface BrokerMoves extends Moves {
  /** Takes back what has expired, one batch; full: there may be more. */
  reclaim(): Promise<{ full: boolean }>;
  /** Leases were taken back by another statement: their log lines, and whoever is to hear of it. */
  reclaimed(taken: rows.Reclaimed[]): void;
  /** A release of leases whose worker never saw them; those that it has named since in a heartbeat stay its own. */
  giveBack(workerId: string, leases: rows.LeaseRef[], reason: string): Promise<rows.Released[]>;
}
