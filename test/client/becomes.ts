/** Waiting for a job to come to a state. */
import type { Client, JobState, JobView } from "../../src/client/index.ts";
import { until } from "../support/until.ts";

export async function becomes(client: Client, jobId: string, state: JobState, deadlineMs = 15_000): Promise<JobView> {
  return await until(
    `${jobId} is ${state}`,
    async () => {
      const job = await client.get(jobId);
      return job?.status === state && job;
    },
    deadlineMs,
  );
}
