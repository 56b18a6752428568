/** What became of a reported attempt, in the protocol's number and in words that say what to do. */
import { ReportStatus as Numbers } from "../gen/aibroker/v1/worker_service_pb.ts";
import type { Report, Reported, ReportStatus } from "../store/rows.ts";

const NUMBERS: Record<ReportStatus, Numbers> = {
  ACCEPTED: Numbers.ACCEPTED,
  RETRYING: Numbers.RETRYING,
  DUPLICATE: Numbers.DUPLICATE,
  CONFLICT: Numbers.CONFLICT,
  LEASE_LOST: Numbers.LEASE_LOST,
  CANCELLED: Numbers.CANCELLED,
  NOT_FOUND: Numbers.NOT_FOUND,
};

const WORDS: Record<Exclude<ReportStatus, "ACCEPTED">, string> = {
  RETRYING: "the failure is stored and the job is PENDING again: it will be tried once more after its delay",
  DUPLICATE: "this lease reported the same before and nothing changed: go on with the next job",
  CONFLICT: "this lease settled the job before with another status and the first stands: report each attempt once",
  LEASE_LOST:
    "the lease is no longer yours and nothing changed: drop this work. Either it ran out (send a heartbeat every third " +
    "of lease_ttl), or the job was taken back, or lease_token is not the one that the claim gave",
  CANCELLED: "the job was cancelled and the result dropped: go on with the next job",
  NOT_FOUND: "there is no job with this id: check result.job_id",
};

export function reportNumber(status: ReportStatus): Numbers {
  return NUMBERS[status];
}

/** What the status means for this item, in one sentence or two. */
export function reportMessage({ status }: Reported, report: Report): string {
  if (status !== "ACCEPTED") return WORDS[status];
  if (report.status === "DONE") return "stored: the job is DONE";
  const why = report.retryable ? "it has no attempts left" : "the report says that trying again will not help";
  return `stored: the job is FAILED for good, since ${why}`;
}
