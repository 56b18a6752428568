/** What happens to the jobs in sight, told by WatchJobs and written into their rows. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Job, JobSchema, JobStatus } from "../../../src/gen/aibroker/v1/job_pb.ts";
import type { JobEvent } from "../../../src/gen/aibroker/v1/job_service_pb.ts";
import { jobs } from "../../wire/calls.ts";
import { msOf } from "../../wire/convert.ts";
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
      open: (signal) => jobs.watchJobs({ jobIds, changesOnly: true }, { signal }),
      take: ({ frame }) => {
        if (frame.case !== "changes") return;
        for (const event of frame.value.events) listing.patch(event.jobId, (job) => after(job, event));
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

/** The job as the event leaves it. */
function after(job: Job, event: JobEvent): Job {
  const at = msOf(event.at);
  return create(JobSchema, {
    ...job,
    status: event.status,
    attemptCount: event.attempt,
    lockedBy: event.status === JobStatus.RUNNING ? event.workerId : job.lockedBy,
    lastError: event.error === "" ? job.lastError : event.error,
    ...(at === undefined ? {} : { updatedAt: timestampFromMs(at) }),
  });
}
