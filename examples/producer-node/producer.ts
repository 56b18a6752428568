/**
 * Dispatches one OCR job and waits for its result.
 * Run: BROKER_TOKEN=<api token> npx node examples/producer-node/producer.ts [image]
 */
import { setTimeout as sleep } from "node:timers/promises";
// In a project of yours: from "ai-job-broker/client".
import { createClient } from "../../src/client/index.ts";

const { env, argv } = process;

await using client = createClient({
  url: (env["BROKER_URL"] ?? "http://127.0.0.1:50051").split(","),
  token: env["BROKER_TOKEN"] ?? "",
});

// The key makes a second click on the same button harmless: it finds the first job.
const { jobId } = await client.dispatch(
  "ocr",
  { image_path: argv[2] ?? "examples/sheets/english.png" },
  { sourceDomain: "submissions", sourceId: "42", idempotencyKey: `submission-42-${Date.now()}` },
);
console.log(`dispatched ${jobId}`);

for (;;) {
  const job = await client.get(jobId);
  if (job?.status === "DONE") {
    console.log(`done by ${job.lockedBy}: ${JSON.stringify(job.result)}`);
    break;
  }
  if (job?.status === "FAILED" || job?.status === "CANCELLED") {
    throw new Error(`the job was not done: ${job.lastError ?? job.cancelReason}`);
  }
  await sleep(200);
}
