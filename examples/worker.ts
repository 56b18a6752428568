/**
 * A gRPC worker in a screenful: claim, heartbeat, report. Run: BROKER_TOKEN=<worker token> npx node examples/worker.ts
 * Ends after one job with ONCE=1, else on Ctrl-C.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
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

/** What your worker is there for. It looks at the signal now and then: aborted means that nobody wants the result. */
async function work(payload: { image_path?: string }, signal: AbortSignal): Promise<object> {
  signal.throwIfAborted();
  return { text: `what stands on ${payload.image_path ?? "nothing"}` };
}

/** Calls again while the broker is away. The repeat is harmless: the broker knows a lease's report when it sees it again. */
async function patiently<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (err) {
      if (ConnectError.from(err).code !== Code.Unavailable) throw err;
      await sleep(1_000);
    }
  }
}

async function beat(jobId: string, leaseToken: string, everyMs: number, stop: AbortController): Promise<void> {
  while (!stop.signal.aborted) {
    await sleep(everyMs, undefined, { signal: stop.signal }).catch(() => undefined);
    if (stop.signal.aborted) return;
    // One that is lost is made good by the next.
    const answer = await broker.heartbeat({ workerId, leases: [{ jobId, leaseToken }] }).catch(() => undefined);
    if (answer !== undefined && answer.leases[0]?.verdict !== LeaseVerdict.CONTINUE) stop.abort();
  }
}

async function run({ job, leaseToken, leaseTtl }: ClaimedJob): Promise<void> {
  const jobId = job?.id ?? "";
  const stop = new AbortController();
  // A third of the lease: two beats may be lost before the job is given to another.
  void beat(jobId, leaseToken, (Number(leaseTtl?.seconds ?? 120n) * 1_000) / 3, stop);
  const result = await work(JSON.parse(job?.payloadJson ?? "{}"), stop.signal).then(
    (done) => ({ jobId, status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson: JSON.stringify(done) }),
    (err) => ({ jobId, status: AIResultStatus.AI_RESULT_STATUS_FAILED, error: String(err) }),
  );
  stop.abort();
  const { results } = await patiently(() => broker.report({ workerId, items: [{ leaseToken, result }] }));
  console.log(`${jobId}: ${results[0]?.message}`);
}

for (;;) {
  const { jobs } = await patiently(() => broker.claim({ workerId, types: ["ocr"], wait: { seconds: 30n } }));
  for (const job of jobs) await run(job);
  if (process.env["ONCE"] !== undefined && jobs.length > 0) break;
}
