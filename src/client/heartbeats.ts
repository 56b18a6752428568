/** Heartbeats that take orders by message, so that they can live in another thread. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { LeaseRefSchema } from "../gen/aibroker/v1/job_pb.ts";
import { WorkerService } from "../gen/aibroker/v1/worker_service_pb.ts";
import { Beats, type Judged, type ProgressNews } from "./beats.ts";
import { asBrokerError } from "./broker-error.ts";
import { Caller, type CallerOptions } from "./caller.ts";
import { type LeaseName, verdictOf } from "./lease-book.ts";

/** What heartbeats need to begin. It can be sent to another thread. */
export interface HeartbeatsOptions {
  caller: CallerOptions;
  workerId: string;
  /** Leases are let go when no order came for so long; undefined: never. */
  maxBlockMs: number | undefined;
}

/** From the worker. */
export type Order =
  | { kind: "leases"; held: LeaseName[]; dropped: string[] }
  | { kind: "progress"; leaseToken: string; news: ProgressNews }
  | { kind: "pace"; intervalMs: number }
  /** The worker's event loop goes round. */
  | { kind: "alive" };

/** To the worker. */
export type News =
  /** Heartbeats can begin. */
  | { kind: "ready" }
  | { kind: "judged"; verdicts: Judged[] }
  /** No broker takes heartbeats, and why; undefined: it is over. */
  | { kind: "trouble"; message: string | undefined };

export interface Heartbeats {
  obey(order: Order): void;
  stop(): void;
}

export function startHeartbeats(options: HeartbeatsOptions, tell: (news: News) => void): Heartbeats {
  const { workerId, maxBlockMs = Number.POSITIVE_INFINITY } = options;
  const caller = new Caller(options.caller);
  let aliveAt = performance.now();
  const beats = new Beats({
    send: async (leases: MessageInitShape<typeof LeaseRefSchema>[], timeoutMs) => {
      const answer = await caller.once(WorkerService.method.heartbeat, { workerId, leases }, { timeoutMs });
      return answer.leases.map(({ verdict }) => verdictOf(verdict));
    },
    judged: (verdicts) => tell({ kind: "judged", verdicts }),
    trouble: (error) =>
      tell({ kind: "trouble", message: error === undefined ? undefined : asBrokerError(error).message }),
    isAlive: () => performance.now() - aliveAt <= maxBlockMs,
  });
  // The first heartbeat must not wait for what can be loaded now.
  void caller.prepare().then(() => tell({ kind: "ready" }));
  return {
    obey(order) {
      aliveAt = performance.now();
      if (order.kind === "leases") {
        beats.hold(order.held);
        for (const leaseToken of order.dropped) beats.drop(leaseToken);
      } else if (order.kind === "progress") beats.progress(order.leaseToken, order.news);
      else if (order.kind === "pace") beats.pace(order.intervalMs);
    },
    stop() {
      beats.stop();
      caller.close();
    },
  };
}
