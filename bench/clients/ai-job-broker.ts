/** Ours: the SDK over either of its transports, or a bare stream with nothing of it. */
import { randomUUID } from "node:crypto";
import { createClient } from "../../src/client/create-client.ts";
import { createWorker } from "../../src/client/create-worker.ts";
import { API_TOKEN, WORKER_TOKEN } from "../harness/broker.ts";
import { type BenchPayload, type Client, JOB_TYPE, type Worker, type WorkerSettings } from "./client.ts";
import { RawWorker } from "./raw-worker.ts";
import { openConnection } from "./work-connection.ts";

export interface BrokerTarget {
  url: string;
  /** What the worker is made of; the producer is the SDK's, over grpc-js where the worker has none of it. */
  via: "grpc-js" | "connect" | "raw";
  /** PEM certificates to believe, where the URL is an https one. */
  ca?: string;
}

export const brokerClient: Client<BrokerTarget> = {
  async openProducer({ url, via, ...tls }) {
    const transport = via === "raw" ? "grpc-js" : via;
    const client = createClient({ url, token: API_TOKEN, transport, ...tls });
    return {
      dispatch: (payload) => client.dispatch(JOB_TYPE, payload),
      dispatchMany: (payloads) => client.dispatchMany(payloads.map((payload) => ({ type: JOB_TYPE, payload }))),
      close: async () => client.close(),
    };
  },

  async openWorker({ url, via, ...tls }, settings) {
    return via === "raw" ? await openRaw(url, settings) : openSdk({ url, transport: via, ...tls }, settings);
  },
};

/** It may connect only after this has returned: the first jobs wait for it. */
function openSdk(
  to: Pick<BrokerTarget, "url" | "ca"> & { transport: "grpc-js" | "connect" },
  { concurrency, onJob }: WorkerSettings,
): Worker {
  const handler = ({ payload }: { payload: BenchPayload }) => {
    onJob(payload);
    return { ok: true };
  };
  const worker = createWorker<Record<typeof JOB_TYPE, { payload: BenchPayload; result: object }>>({
    ...to,
    token: WORKER_TOKEN,
    signals: false,
    types: { [JOB_TYPE]: { concurrency, handler } },
  });
  const stop = new AbortController();
  const running = worker.run({ signal: stop.signal });
  return {
    async close() {
      stop.abort();
      await running;
    },
  };
}

/** What is left of the latency without an SDK. */
async function openRaw(url: string, { concurrency, onJob }: WorkerSettings): Promise<Worker> {
  const session = await openConnection(url);
  const { promise: welcome, resolve: onWelcome } = Promise.withResolvers<void>();
  const worker = new RawWorker({
    token: WORKER_TOKEN,
    workerId: "bench",
    instanceId: randomUUID(),
    types: [JOB_TYPE],
    maxInFlight: concurrency,
    onWelcome,
    onJob: (job, self) => {
      onJob(JSON.parse(job.job?.payloadJson ?? "") as BenchPayload);
      self.report([job]);
    },
  });
  const ended = worker.work(session);
  await Promise.race([welcome, ended.then(({ words }) => Promise.reject(new Error(words)))]);
  let isClosing = false;
  // Else jobs would be waited for that nobody can get any more.
  void ended.then(({ status, words }) => {
    if (!isClosing) throw new Error(`the broker has ended the stream: ${status} ${words}`);
  });
  return {
    async close() {
      isClosing = true;
      worker.end();
      await ended;
      session.close();
    },
  };
}
