/**
 * A gRPC worker in a screenful: claim, heartbeat, report. Run: BROKER_TOKEN=<worker token> node examples/worker.ts
 * Ends after one job with ONCE=1, else on Ctrl-C.
 */
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
// In a project of yours: from "ai-job-broker/client".
import { AIResultStatus, type ClaimedJob, LeaseVerdict, WorkerService } from "../src/client/index.ts";

const workerId = `example-${process.pid}`;
const broker = createClient(
  WorkerService,
  createGrpcTransport({
    baseUrl: process.env["BROKER_URL"] ?? "http://127.0.0.1:50051",
    interceptors: [
      (next) => (req) => {
        req.header.set("x-worker-token", process.env["BROKER_TOKEN"] ?? "");
        return next(req);
      },
    ],
  }),
);

async function work(payload: { image_path?: string }, signal: AbortSignal): Promise<object> {
  signal.throwIfAborted();
  return { text: `what stands on ${payload.image_path ?? "nothing"}` };
}

async function run({ job, leaseToken, leaseTtl }: ClaimedJob): Promise<void> {
  const jobId = job?.id ?? "";
  const stop = new AbortController();
  // A third of the lease: two beats may be lost before the job is given to another.
  const beat = setInterval(
    async () => {
      const { leases } = await broker.heartbeat({ workerId, leases: [{ jobId, leaseToken }] });
      if (leases[0]?.verdict !== LeaseVerdict.CONTINUE) stop.abort();
    },
    (Number(leaseTtl?.seconds ?? 120n) * 1_000) / 3,
  );
  try {
    const result = await work(JSON.parse(job?.payloadJson ?? "{}") as { image_path?: string }, stop.signal);
    const done = { jobId, status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson: JSON.stringify(result) };
    const { results } = await broker.report({ workerId, items: [{ leaseToken, result: done }] });
    console.log(`${jobId}: ${results[0]?.message}`);
  } catch (err) {
    const failed = { jobId, status: AIResultStatus.AI_RESULT_STATUS_FAILED, error: String(err) };
    await broker.report({ workerId, items: [{ leaseToken, result: failed }] });
  } finally {
    clearInterval(beat);
  }
}

for (;;) {
  const { jobs } = await broker.claim({ workerId, types: ["ocr"], wait: { seconds: 30n } });
  for (const job of jobs) await run(job);
  if (process.env["ONCE"] !== undefined && jobs.length > 0) break;
}
