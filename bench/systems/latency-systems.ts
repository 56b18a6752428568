/** Who is measured for latency, each with the best of what it offers. */
import { brokerSystem } from "./ai-job-broker.ts";
import { bullSystem } from "./bullmq.ts";
import { graphileSystem } from "./graphile-worker.ts";
import type { System } from "./system.ts";

export function latencySystems(profileTo: string | undefined): System[] {
  return [
    ...bestLatencySystems(profileTo),
    brokerSystem({ via: "connect", profileTo }),
    graphileSystem({
      setting: "LISTEN/NOTIFY, local queue, completes in batches",
      database: "graphile_queue",
      localQueueSize: 50,
      completeJobBatchDelay: 0,
    }),
  ];
}

/**
 * Where there is time for few: our default and what is left without an SDK, and graphile-worker without its local queue,
 * whose p50 was 3.7 ms against 4.0 with it. Redis on disk and in memory are two promises, not two settings.
 */
export function bestLatencySystems(profileTo?: string): System[] {
  return [
    brokerSystem({ via: "grpc-js", profileTo }),
    brokerSystem({ via: "raw", profileTo }),
    graphileSystem({
      setting: "LISTEN/NOTIFY, each worker fetches",
      database: "graphile_plain",
      localQueueSize: -1,
      completeJobBatchDelay: -1,
    }),
    bullSystem({ setting: "Redis in memory only", redis: ["--appendonly", "no"] }),
    bullSystem({ setting: "Redis, fsync at each write", redis: ["--appendonly", "yes", "--appendfsync", "always"] }),
  ];
}
