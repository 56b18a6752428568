/**
 * A worker over the Work stream with the generated client and no SDK: here is what it does, in stream-worker.ts and
 * work-stream.ts how it talks. Run: BROKER_TOKEN=<worker token> npx node examples/worker-node-raw/worker.ts
 * Ends on SIGTERM or Ctrl-C, when its jobs are done. BROKER_URL may name several brokers, with commas between them.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { StreamWorker } from "./stream-worker.ts";

const { env } = process;

const worker = new StreamWorker({
  urls: (env["BROKER_URL"] ?? "http://127.0.0.1:50051").split(","),
  token: env["BROKER_TOKEN"] ?? "",
  workerId: `node-${process.pid}`,
  types: (env["TYPES"] ?? "ocr").split(","),
  concurrency: Number(env["CONCURRENCY"] ?? 4),
  graceMs: 30_000,
  // A long one looks at the signal now and then: aborted means that nobody wants the result any more.
  async work(payload: { image_path?: string; seconds?: number }, signal: AbortSignal) {
    if (payload.seconds !== undefined) await sleep(payload.seconds * 1_000, undefined, { signal });
    return { text: `what stands on ${payload.image_path ?? "nothing"}` };
  },
});

for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => worker.drain());
await worker.run();
