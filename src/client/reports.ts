/** Reports and releases on their way to the broker: what they hold, and what its answers mean. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { AIResultStatus } from "../gen/aibroker/v1/job_pb.ts";
import {
  type ReleaseItemResult,
  type ReportItemResult,
  type ReportItemSchema,
  ReportStatus,
} from "../gen/aibroker/v1/worker_service_pb.ts";
import { failure, type Outcome } from "./attempt.ts";
import { Fatal } from "./failures.ts";
import type { LeaseBook, LeaseName } from "./lease-book.ts";
import type { Logger } from "./logger.ts";
import { Outbox, type Parcel } from "./outbox.ts";

export interface ReportParcel extends Parcel {
  lease: LeaseName;
  item: MessageInitShape<typeof ReportItemSchema>;
  status: Outcome["status"];
  /** Told what the broker said of it, once. */
  told?: ((status: string) => void) | undefined;
}

export interface ReleaseParcel extends Parcel {
  lease: LeaseName;
  reason: string;
}

export type Reports = Outbox<ReportParcel, ReportItemResult>;
export type Releases = Outbox<ReleaseParcel, ReleaseItemResult>;

export function reportParcel(lease: LeaseName, outcome: Outcome, told?: ReportParcel["told"]): ReportParcel {
  const { jobId, leaseToken } = lease;
  if (outcome.status === "DONE") {
    const { resultJson } = outcome;
    const result = { jobId, status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson };
    return { lease, status: "DONE", item: { leaseToken, result }, bytes: Buffer.byteLength(resultJson) + 100, told };
  }
  const { error, retryable, retryDelayMs } = outcome;
  const result = { jobId, status: AIResultStatus.AI_RESULT_STATUS_FAILED, error };
  const retryDelay = retryDelayMs === undefined ? undefined : durationFromMs(retryDelayMs);
  const item = { leaseToken, result, retryable, retryDelay };
  return { lease, status: "FAILED", item, bytes: Buffer.byteLength(error) + 100, told };
}

/** `maxBytes`: the texts of one message. A lease leaves the book with the broker's answer. */
export function createReports(book: LeaseBook, logger: Logger, maxBytes: () => number): Reports {
  const reports: Reports = new Outbox({
    maxBytes,
    settle: ({ lease, told }, { status, message }) => {
      book.drop(lease.leaseToken);
      told?.(STATUS_WORDS.get(status) ?? "UNKNOWN");
      const level = STRANGE.has(status) ? "warn" : "debug";
      logger[level]({ jobId: lease.jobId, status: STATUS_WORDS.get(status) }, `report answered: ${message}`);
    },
    refused: ({ lease, status, told }, error) => {
      told?.("REFUSED");
      logger.error({ jobId: lease.jobId, err: error }, "the broker cannot take the report of this job");
      if (status === "FAILED") return book.drop(lease.leaseToken);
      // The work is done and cannot be told: rather FAILED, with the reason, than done again and again.
      const why = new Fatal(`the broker refused the result: ${error.message}`, { cause: error });
      reports.put(reportParcel(lease, failure(why)));
    },
  });
  return reports;
}

const STATUS_WORDS: ReadonlyMap<number, string> = new Map(
  Object.entries(ReportStatus).map(([word, status]) => [status, word] as const),
);

/** Answers that a worker does not expect: its work came to nothing. */
const STRANGE: ReadonlySet<ReportStatus> = new Set([
  ReportStatus.UNSPECIFIED,
  ReportStatus.CONFLICT,
  ReportStatus.LEASE_LOST,
  ReportStatus.NOT_FOUND,
]);

export function createReleases(book: LeaseBook, logger: Logger, maxBytes: () => number): Releases {
  return new Outbox({
    maxBytes,
    settle: ({ lease, reason }, { released }) => {
      book.drop(lease.leaseToken);
      logger.debug({ jobId: lease.jobId, reason }, released ? "job given back" : "the job was no longer held");
    },
    refused: ({ lease }, error) => {
      book.drop(lease.leaseToken);
      logger.error({ jobId: lease.jobId, err: error }, "the job could not be given back; its lease runs out");
    },
  });
}
