/** What may be done to jobs: to one, to those that are chosen, to all that fit a filter. */

import { ReleaseJobStatus, UpdateStatus } from "../../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobStatus } from "../../../src/gen/aibroker/v1/job_pb.ts";
import { CancelStatus, RetryStatus } from "../../../src/gen/aibroker/v1/job_service_pb.ts";
import type { StatusName } from "../../parts/status.tsx";
import { admin, jobs } from "../../wire/calls.ts";
import { type FilterRequest, type JobsFilter, requestOf } from "./filter.ts";

export const ACTIONS = ["cancel", "retry", "release", "priority"] as const;
export type JobAction = (typeof ACTIONS)[number];

/** What the dialog asks for; each action reads its own. */
export interface ActionAnswers {
  reason: string;
  priority: number;
}

/** How many jobs it changed, and how many it left as they were. */
export interface Tally {
  changed: number;
  left: number;
}

/** Jobs in another state are left alone. */
export const FITS: Record<JobAction, readonly StatusName[]> = {
  cancel: ["PENDING", "RUNNING"],
  retry: ["FAILED", "CANCELLED"],
  release: ["RUNNING"],
  priority: ["PENDING"],
};

/** Items in one request. */
const BATCH = 500;

/** Does it to jobs by their ids. Throws what a call throws; what was done before stays done, and was told. */
export async function actOn(
  action: JobAction,
  ids: readonly string[],
  answers: ActionAnswers,
  told?: (tally: Tally) => void,
): Promise<Tally> {
  const tally = { changed: 0, left: 0 };
  for (let from = 0; from < ids.length; from += BATCH) {
    const changes = await callFor(action, ids.slice(from, from + BATCH), answers);
    tally.changed += changes.filter(Boolean).length;
    tally.left += changes.filter((changed) => !changed).length;
    told?.({ ...tally });
  }
  return tally;
}

/** For each id whether it changed the job. */
async function callFor(action: JobAction, jobIds: string[], { reason, priority }: ActionAnswers): Promise<boolean[]> {
  switch (action) {
    case "cancel": {
      const { results } = await jobs.cancelJobs({ jobIds, reason });
      return results.map(({ status }) => status === CancelStatus.CANCELLED || status === CancelStatus.REQUESTED);
    }
    case "retry": {
      const { results } = await jobs.retryJobs({ jobIds });
      return results.map(({ status }) => status === RetryStatus.RETRIED);
    }
    case "release": {
      const { results } = await admin.releaseJobs({ jobIds, reason });
      return results.map(({ status }) => status === ReleaseJobStatus.RELEASED);
    }
    case "priority": {
      const { results } = await admin.updateJobs({ jobIds, priority });
      return results.map(({ status }) => status === UpdateStatus.UPDATED);
    }
  }
}

/** The jobs of a filter that the action fits; undefined where its statuses leave none. */
export function narrowed(filter: JobsFilter, action: JobAction): FilterRequest | undefined {
  const wanted =
    filter.statuses.length === 0 ? FITS[action] : FITS[action].filter((one) => filter.statuses.includes(one));
  if (wanted.length === 0) return undefined;
  return { ...requestOf(filter), statuses: wanted.map((name) => JobStatus[name]) };
}

/** Does it to all jobs that fit `request`, page by page, until the signal; answers what was done by then. Throws as actOn. */
export async function actOnAll(
  action: JobAction,
  request: FilterRequest,
  answers: ActionAnswers,
  { signal, told }: { signal: AbortSignal; told: (tally: Tally) => void },
): Promise<Tally> {
  const tally = { changed: 0, left: 0 };
  for (let pageToken = ""; !signal.aborted; ) {
    // Downwards by age, so what it does to a page moves no job into the next one.
    const page = await jobs.listJobs({ ...request, pageSize: BATCH, pageToken }, { signal }).catch(unlessLeft(signal));
    if (page === undefined) break;
    // A page is one request.
    const done = await actOn(
      action,
      page.jobs.flatMap(({ job }) => job?.id ?? []),
      answers,
    );
    tally.changed += done.changed;
    tally.left += done.left;
    told({ ...tally });
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  return tally;
}

/** What is thrown because somebody has left is no fault. */
function unlessLeft(signal: AbortSignal): (thrown: unknown) => undefined {
  return (thrown) => {
    if (!signal.aborted) throw thrown;
    return undefined;
  };
}
