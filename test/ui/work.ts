/** Work done in a few words, so that pages have something to show. */
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import type { TestBroker } from "../support/broker.ts";

const { AI_RESULT_STATUS_DONE: DONE, AI_RESULT_STATUS_FAILED: FAILED } = AIResultStatus;

/** Claims up to `maxJobs` of a type and answers them. */
export async function claim(broker: TestBroker, type: string, { workerId = "w1", maxJobs = 1 } = {}) {
  return (await broker.worker.claim({ workerId, types: [type], maxJobs })).jobs;
}

/** Claims up to `maxJobs` of a type and reports them done. */
export async function finish(broker: TestBroker, type: string, { result = "{}", maxJobs = 1 } = {}): Promise<void> {
  const claimed = await claim(broker, type, { maxJobs });
  const items = claimed.map(({ job, leaseToken }) => ({
    leaseToken,
    result: { jobId: job?.id ?? "", status: DONE, resultJson: result },
  }));
  await broker.worker.report({ workerId: "w1", items });
}

/** Claims up to `maxJobs` of a type and reports them failed. */
export async function fail(
  broker: TestBroker,
  type: string,
  { error = "it broke", retryable = false, maxJobs = 1 } = {},
): Promise<void> {
  const claimed = await claim(broker, type, { maxJobs });
  const items = claimed.map(({ job, leaseToken }) => ({
    leaseToken,
    retryable,
    result: { jobId: job?.id ?? "", status: FAILED, error },
  }));
  await broker.worker.report({ workerId: "w1", items });
}
