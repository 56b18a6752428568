/** Who is measured for jobs a second, each at its best of a few settings. */
import { brokerSystem } from "./ai-job-broker.ts";
import { bullSystem } from "./bullmq.ts";
import { graphileSystem } from "./graphile-worker.ts";
import { bossSystem } from "./pg-boss.ts";
import type { System } from "./system.ts";

export interface Contender {
  system: System;
  /** Jobs, or for pg-boss batches, at a time. */
  concurrency: number;
}

/** Each has a database of its own, which drain and flow share. */
export const CONTENDERS: readonly Contender[] = [
  { system: brokerSystem({ via: "grpc-js" }), concurrency: 1_000 },
  { system: brokerSystem({ via: "connect" }), concurrency: 1_000 },
  {
    system: graphileSystem({
      setting: "in-process, local queue of 500, completes in batches",
      database: "graphile_throughput",
      localQueueSize: 500,
      completeJobBatchDelay: 0,
    }),
    concurrency: 50,
  },
  { system: bossSystem({ setting: "in-process, fetch and complete 500 at a time", batch: 500 }), concurrency: 2 },
  { system: bullSystem({ setting: "Redis in memory only", redis: ["--appendonly", "no"] }), concurrency: 100 },
];
