/** Waits for a job's end by asking again and again, ever more seldom. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { type Job, JobStatus } from "../gen/aibroker/v1/job_pb.ts";
import type { JobService } from "../gen/aibroker/v1/job_service_pb.ts";

// A broker that is started anew is back by then.
const OUTAGE_MS = 60_000;
const AWAY = [Code.Unavailable, Code.Aborted, Code.DeadlineExceeded];

const ENDED: readonly number[] = [JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED];

/**
 * The job once it is DONE, FAILED or CANCELLED; undefined when `timeoutMs` passes first (never, when undefined). Goes on
 * asking while the broker or its database is away, for a minute at most.
 */
export async function waitForEnd(
  jobs: Pick<Client<typeof JobService>, "getJob">,
  jobId: string,
  timeoutMs: number | undefined,
): Promise<Job | undefined> {
  const deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
  let answeredAt = performance.now();
  for (let pauseMs = 50; ; pauseMs = Math.min(1000, pauseMs * 1.5)) {
    const job = await jobs.getJob({ jobId }).then(
      (answer) => {
        answeredAt = performance.now();
        return answer.job;
      },
      (error: unknown) => {
        const isAway = error instanceof ConnectError && AWAY.includes(error.code);
        if (!isAway || performance.now() - answeredAt > OUTAGE_MS) throw error;
        return undefined;
      },
    );
    if (job !== undefined && ENDED.includes(job.status)) return job;
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) return undefined;
    await sleep(Math.min(pauseMs, leftMs));
  }
}
