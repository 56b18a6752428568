/** Dispatches one OCR job and waits for its result. Run: BROKER_TOKEN=<api token> npx node examples/producer.ts */
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
// In a project of yours: from "ai-job-broker/client".
import { JobService, JobStatus } from "../src/client/index.ts";

const jobs = createClient(
  JobService,
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

// The key makes a repeat after a lost answer harmless: it finds the first job.
const { results } = await jobs.dispatch({
  jobs: [
    {
      type: "ocr",
      payloadJson: JSON.stringify({ image_path: "examples/sheets/english.png" }),
      sourceDomain: "submissions",
      sourceId: "42",
      idempotencyKey: `submission-42-${Date.now()}`,
    },
  ],
});
const jobId = results[0]?.jobId ?? "";
console.log(`dispatched ${jobId}`);

for (;;) {
  const { job } = await jobs.getJob({ jobId });
  if (job?.status === JobStatus.DONE) {
    console.log(`done by ${job.lockedBy}: ${job.result?.resultJson}`);
    break;
  }
  if (job?.status === JobStatus.FAILED || job?.status === JobStatus.CANCELLED) {
    throw new Error(`the job was not done: ${job.lastError || job.cancelReason}`);
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
}
