/** What the messages of a stream mean to a worker. */
import { durationMs } from "@bufbuild/protobuf/wkt";
import { CancelReason } from "../gen/aibroker/v1/worker_service_pb.ts";
import type { Crew } from "./crew.ts";
import { type LeaseBook, verdictOf } from "./lease-book.ts";
import type { Logger } from "./logger.ts";
import type { Outbox, Parcel } from "./outbox.ts";
import type { Releases, Reports } from "./reports.ts";
import type { SessionHost } from "./session.ts";

export interface HostOptions {
  workerId: string;
  instanceId: string;
  /** What speaks, for operators. */
  client: string;
  crew: Crew;
  book: LeaseBook;
  reports: Reports;
  releases: Releases;
  logger: Logger;
  /** The broker's limit on the texts of one message. */
  onMaxBytes(bytes: number): void;
  onHeartbeatInterval(ms: number): void;
}

/** The broker's bound on Hello.held. */
const MAX_HELD = 1_000;

export function createHost(options: HostOptions): SessionHost {
  const { workerId, instanceId, client, crew, book, reports, releases, logger } = options;
  const types = Object.keys(crew.seats.room().maxByType);
  return {
    hello: () => ({ workerId, instanceId, types, client, ...crew.seats.room(), held: book.names().slice(0, MAX_HELD) }),
    welcome(welcome, held) {
      const { brokerId, sessionId, heartbeatInterval, maxResultBytes, maxRequestBytes } = welcome;
      if (maxResultBytes > 0n) crew.limitResults(Number(maxResultBytes));
      if (maxRequestBytes > 0n) options.onMaxBytes(Number(maxRequestBytes));
      if (heartbeatInterval !== undefined) options.onHeartbeatInterval(durationMs(heartbeatInterval));
      logger.info({ brokerId, sessionId, held: held.length }, "connected to a broker");
      for (const [index, { leaseToken }] of held.entries()) {
        crew.judge(leaseToken, verdictOf(welcome.held[index]?.verdict));
      }
    },
    admit: (jobs) => crew.admit(jobs),
    cancel: ({ leaseToken, reason }) => crew.judge(leaseToken, reason === CancelReason.LOST ? "LOST" : "CANCEL"),
    reportAck: ({ id, results, retryAfter }) => settle(reports, id, results, retryAfter && durationMs(retryAfter)),
    releaseAck: ({ id, results, retryAfter }) => settle(releases, id, results, retryAfter && durationMs(retryAfter)),
    drained: (afterMs, reason) => logger.info({ afterMs, reason }, "the broker asks to move to another stream"),
  };
}

function settle<P extends Parcel, R>(
  outbox: Outbox<P, R>,
  id: bigint,
  results: R[],
  retryAfterMs: number | undefined,
): void {
  if (retryAfterMs === undefined) outbox.answer(id, results);
  else outbox.postpone(id, retryAfterMs);
}
