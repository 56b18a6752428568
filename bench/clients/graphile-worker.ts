/** graphile-worker as its documentation says: WorkerUtils to add jobs, `run` with LISTEN/NOTIFY to work. */
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { type BenchPayload, type Client, JOB_TYPE } from "./client.ts";

export interface GraphileTarget {
  url: string;
  /** -1: each of its workers fetches by itself. */
  localQueueSize: number;
  /** In ms; -1: each job is completed by itself. */
  completeJobBatchDelay: number;
}

const silent = new Logger(() => () => undefined);

export const graphileClient: Client<GraphileTarget> = {
  async openProducer({ url }) {
    const adder = await makeWorkerUtils({ connectionString: url, logger: silent });
    return {
      dispatch: (payload) => adder.addJob(JOB_TYPE, payload),
      dispatchMany: (payloads) => adder.addJobs(payloads.map((payload) => ({ identifier: JOB_TYPE, payload }))),
      close: async () => adder.release(),
    };
  },

  async openWorker({ url, localQueueSize, completeJobBatchDelay }, { concurrency, onJob }) {
    const runner = await run({
      connectionString: url,
      concurrency,
      // One for each of its workers, one that listens, and room for the queue's own.
      maxPoolSize: concurrency + 4,
      noHandleSignals: true,
      logger: silent,
      taskList: { [JOB_TYPE]: async (payload) => onJob(payload as BenchPayload) },
      preset: {
        worker: {
          completeJobBatchDelay,
          failJobBatchDelay: completeJobBatchDelay,
          ...(localQueueSize < 0 ? {} : { localQueue: { size: localQueueSize } }),
        },
      },
    });
    return { close: () => runner.stop() };
  },
};
