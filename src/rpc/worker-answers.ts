/** What a worker is told about its leases, in the words of the protos; for unary calls and streams alike. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type LeaseRenewalSchema,
  LeaseVerdict,
  type ReportItemResultSchema,
} from "../gen/aibroker/v1/worker_service_pb.ts";
import type { Renewal, Report, Reported } from "../store/rows.ts";
import { timestamp } from "./convert.ts";
import { reportMessage, reportNumber } from "./report-status.ts";

const VERDICTS: Record<Renewal["verdict"], LeaseVerdict> = {
  CONTINUE: LeaseVerdict.CONTINUE,
  CANCEL: LeaseVerdict.CANCEL,
  LOST: LeaseVerdict.LOST,
};

export function renewal({ jobId, verdict, expiresAt }: Renewal): MessageInitShape<typeof LeaseRenewalSchema> {
  return { jobId, verdict: VERDICTS[verdict], leaseExpiresAt: timestamp(expiresAt) };
}

export function reportResult(
  reported: Reported,
  report: Report | undefined,
): MessageInitShape<typeof ReportItemResultSchema> {
  return {
    jobId: reported.jobId,
    status: reportNumber(reported.status),
    message: reportMessage(reported, report as Report),
  };
}
