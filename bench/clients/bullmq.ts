/** BullMQ as its documentation says: a Queue to add jobs, a Worker to work. */
import { Queue, Worker } from "bullmq";
import { type BenchPayload, type Client, JOB_TYPE } from "./client.ts";

export interface BullTarget {
  /** Of the Unix socket. */
  path: string;
}

export const QUEUE = "bench";

export const bullClient: Client<BullTarget> = {
  async openProducer({ path }) {
    const queue = new Queue<BenchPayload>(QUEUE, {
      connection: { path },
      defaultJobOptions: { removeOnComplete: true },
    });
    await queue.waitUntilReady();
    return {
      dispatch: (payload) => queue.add(JOB_TYPE, payload),
      dispatchMany: (payloads) => queue.addBulk(payloads.map((data) => ({ name: JOB_TYPE, data }))),
      close: () => queue.close(),
    };
  },

  async openWorker({ path }, { concurrency, onJob }) {
    const worker = new Worker<BenchPayload, object>(
      QUEUE,
      async ({ data }) => {
        onJob(data);
        return { ok: true };
      },
      { connection: { path, maxRetriesPerRequest: null }, concurrency },
    );
    await worker.waitUntilReady();
    return { close: () => worker.close() };
  },
};
