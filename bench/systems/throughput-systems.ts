/** Who is measured for jobs a second, and with which settings. */
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

/** One contender by several settings, of which the first one was the best so far. Each has a database of its own. */
export type Choice = readonly [Contender, ...Contender[]];

export const OURS: Contender = { system: brokerSystem({ via: "grpc-js" }), concurrency: 1_000 };

export const OURS_BY_CONNECT: Contender = { system: brokerSystem({ via: "connect" }), concurrency: 1_000 };

/** Of 20,000 jobs on 2 cores it drained 22,700, 12,600 and 13,000 a second, and had 10,800, 8,800 and 8,500 in a flow. */
export const GRAPHILE: Choice = [
  graphile({ localQueueSize: 2_000, concurrency: 50 }),
  graphile({ localQueueSize: 500, concurrency: 50 }),
  graphile({ localQueueSize: 500, concurrency: 24 }),
];

/** 14,600, 12,700 and 12,500 a second drained; 6,400, 6,900 and 6,700 in a flow, which is their noise. */
export const BOSS: Choice = [
  boss({ batch: 1_000, concurrency: 2 }),
  boss({ batch: 500, concurrency: 2 }),
  boss({ batch: 500, concurrency: 4 }),
];

/** 8,700, 8,200 and 2,400 a second drained; 2,100, 1,500 and 2,600 in a flow, by one try on a busy machine. */
export const BULL: Choice = [bull(100), bull(50), bull(300)];

/** Its own performance test completes in batches and has 24 at a time, with a local queue of 500. */
function graphile({ localQueueSize, concurrency }: { localQueueSize: number; concurrency: number }): Contender {
  const setting = `in-process, local queue of ${localQueueSize}, ${concurrency} at a time, completes in batches`;
  const database = `graphile_${localQueueSize}_${concurrency}`;
  return { system: graphileSystem({ setting, database, localQueueSize, completeJobBatchDelay: 0 }), concurrency };
}

function boss({ batch, concurrency }: { batch: number; concurrency: number }): Contender {
  const setting = `in-process, fetch and complete ${batch} at a time, ${concurrency} loops`;
  return { system: bossSystem({ setting, database: `boss_${batch}_${concurrency}`, batch }), concurrency };
}

function bull(concurrency: number): Contender {
  const setting = `Redis in memory only, ${concurrency} at a time`;
  return { system: bullSystem({ setting, redis: ["--appendonly", "no"] }), concurrency };
}
