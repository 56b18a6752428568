/** The two ways to the broker for reports and releases: the stream, and unary calls. */
import { type ReleaseItemResult, type ReportItemResult, WorkerService } from "../gen/aibroker/v1/worker_service_pb.ts";
import { backoffMs } from "./backoff.ts";
import { asBrokerError, type BrokerError, isRefusal } from "./broker-error.ts";
import type { Caller } from "./caller.ts";
import type { Logger } from "./logger.ts";
import type { Carrier, Outbox, Parcel } from "./outbox.ts";
import type { ReleaseParcel, Releases, ReportParcel, Reports } from "./reports.ts";
import type { Session } from "./session.ts";

export interface Carriers {
  reports: Carrier<ReportParcel>;
  releases: Carrier<ReleaseParcel>;
}

/** The answers come to the session's host. */
export function streamCarriers(session: Session): Carriers {
  return {
    reports: {
      send: (id, parcels) => session.tell({ case: "reports", value: { id, items: parcels.map(({ item }) => item) } }),
    },
    releases: {
      send: (id, parcels) =>
        session.tell({ case: "release", value: { id, leases: namesOf(parcels), reason: reasonOf(parcels) } }),
    },
  };
}

export interface UnaryOptions {
  caller: Caller;
  workerId: string;
  reports: Reports;
  releases: Releases;
  logger: Logger;
  /** The token will not do. */
  onRefusal(error: BrokerError): void;
}

const TIMEOUT_MS = 20_000;

/** Each batch is a call of its own, and its answer goes straight into the outbox. */
export function unaryCarriers(options: UnaryOptions): Carriers {
  const { caller, workerId, reports, releases } = options;
  const { method } = WorkerService;
  const call = { timeoutMs: TIMEOUT_MS };
  return {
    reports: unaryCarrier<ReportParcel, ReportItemResult>(options, reports, async (parcels) => {
      const items = parcels.map(({ item }) => item);
      return (await caller.once(method.report, { workerId, items }, call)).results;
    }),
    releases: unaryCarrier<ReleaseParcel, ReleaseItemResult>(options, releases, async (parcels) => {
      const request = { workerId, leases: namesOf(parcels), reason: reasonOf(parcels) };
      return (await caller.once(method.release, request, call)).results;
    }),
  };
}

function unaryCarrier<P extends Parcel, R>(
  { logger, onRefusal }: UnaryOptions,
  outbox: Outbox<P, R>,
  bring: (parcels: readonly P[]) => Promise<R[]>,
): Carrier<P> {
  let failures = 0;
  const failed = (id: bigint, thrown: unknown) => {
    const error = asBrokerError(thrown);
    if (isUnreadable(error)) return outbox.refuse(id, error);
    failures += 1;
    const waitMs = backoffMs(failures, Math.random(), error.retryAfterMs);
    logger.debug({ err: error, waitMs }, "reports did not get through");
    outbox.postpone(id, waitMs);
    if (isRefusal(error)) onRefusal(error);
  };
  return {
    send: (id, parcels) => {
      bring(parcels).then(
        (results) => {
          failures = 0;
          outbox.answer(id, results);
        },
        (thrown: unknown) => failed(id, thrown),
      );
    },
  };
}

/** The broker cannot take what it was sent, now or ever. Only its own word counts: work that is done hangs on it. */
export function isUnreadable({ code, reason, retryAfterMs }: BrokerError): boolean {
  if (reason === undefined) return false;
  return code === "INVALID_ARGUMENT" || (code === "RESOURCE_EXHAUSTED" && retryAfterMs === undefined);
}

function namesOf(parcels: readonly ReleaseParcel[]) {
  return parcels.map(({ lease: { jobId, leaseToken } }) => ({ jobId, leaseToken }));
}

/** For the log alone, so the first one stands for all. */
function reasonOf(parcels: readonly ReleaseParcel[]): string {
  return parcels[0]?.reason ?? "";
}
