/** One worker of a bench, a process of its own: notes when each handler starts, and does nothing. */
import type { Worker } from "../clients/client.ts";
import { type ClientName, loadClient } from "../clients/load-client.ts";
import { answerParent } from "./answer-parent.ts";
import { nowUs } from "./clock.ts";

export interface WorkerOpening {
  client: ClientName;
  target: object;
  concurrency: number;
}

let worker: Worker | undefined;
/** From the call that dispatches a job to the start of its handler, in µs. */
let latenciesUs: number[] = [];
let firstUs = Number.NaN;

answerParent(
  {
    async open({ client, target, concurrency }: WorkerOpening) {
      const { openWorker } = await loadClient(client);
      worker = await openWorker(target, {
        concurrency,
        onJob({ sentUs }) {
          const us = nowUs();
          if (Number.isNaN(firstUs)) firstUs = us;
          latenciesUs.push(us - sentUs);
        },
      });
    },
    /** Leaves the queue, and begins anew with the next open. */
    close: async () => {
      await worker?.close();
      worker = undefined;
      latenciesUs = [];
      firstUs = Number.NaN;
    },
    /** When the first handler began. */
    firstUs: () => firstUs,
    count: () => latenciesUs.length,
    /** Gives what was noted and begins anew. */
    take: () => {
      const taken = latenciesUs;
      latenciesUs = [];
      return taken;
    },
  },
  async () => await worker?.close(),
);
