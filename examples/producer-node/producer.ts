/**
 * Dispatches one OCR job and waits for its result.
 * Run: BROKER_TOKEN=<api token> npx node examples/producer-node/producer.ts [image]
 */
// In a project of yours: from "ai-job-broker/client".
import { createClient } from "../../src/client/index.ts";

const { env, argv } = process;

await using client = createClient({
  url: (env["BROKER_URL"] ?? "http://127.0.0.1:50051").split(","),
  token: env["BROKER_TOKEN"] ?? "",
});

// The key makes a second click on the same button harmless: it waits for the first job.
const { jobId, status, attempts, result, error } = await client.dispatchAndWait(
  "ocr",
  { image_path: argv[2] ?? "examples/sheets/english.png" },
  {
    sourceDomain: "submissions",
    sourceId: "42",
    idempotencyKey: `submission-42-${Date.now()}`,
    timeoutMs: 60_000,
  },
);
if (status !== "DONE") throw new Error(`${jobId} is ${status} after ${attempts} attempts: ${error}`);
console.log(`${jobId} is done: ${JSON.stringify(result)}`);
