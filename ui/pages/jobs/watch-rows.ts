/** What happens to the jobs in sight, told by WatchJobs and written into their rows. */
import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type Job, JobSchema, JobStatus } from "../../../src/gen/aibroker/v1/job_pb.ts";
import type { JobEvent, WatchedJob } from "../../../src/gen/aibroker/v1/job_service_pb.ts";
import { jobs } from "../../wire/calls.ts";
import { follow } from "../../wire/follow.ts";
import type { Listing } from "./listing.ts";

/** Who scrolls on is not followed row by row. */
const SETTLED_MS = 400;

/** Until the function that it answers is called. */
export function watchRows(listing: Listing, near: { first: number; last: number }): () => void {
  const leave = new AbortController();
  const timer = setTimeout(() => {
    const jobIds: string[] = [];
    for (let index = near.first; index <= near.last; index += 1) {
      const id = listing.at(index)?.job?.id;
      if (id !== undefined) jobIds.push(id);
    }
    if (jobIds.length === 0) return;
    void follow({
      // From their state on: what happened to a row while it was out of sight is news, too.
      open: (signal) => jobs.watchJobs({ jobIds }, { signal }),
      take: ({ frame }) => {
        if (frame.case === "state")
          for (const seen of frame.value.jobs) listing.patch(seen.jobId, (job) => after(job, seen, seen.updatedAt));
        if (frame.case === "changes")
          for (const event of frame.value.events) listing.patch(event.jobId, (job) => after(job, event, event.at));
      },
      link: () => undefined,
      signal: leave.signal,
    });
  }, SETTLED_MS);
  return () => {
    clearTimeout(timer);
    leave.abort();
  };
}

type News = Pick<JobEvent | WatchedJob, "status" | "attempt" | "workerId" | "error">;

/** The job as the news leaves it. */
function after(job: Job, { status, attempt, workerId, error }: News, updatedAt: Timestamp | undefined): Job {
  return create(JobSchema, {
    ...job,
    status,
    attemptCount: attempt,
    lockedBy: status === JobStatus.RUNNING ? workerId : job.lockedBy,
    lastError: error === "" ? job.lastError : error,
    ...(updatedAt === undefined ? {} : { updatedAt }),
  });
}
