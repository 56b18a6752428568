/** One job: where it stands, how it came there, what went in and what came out. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { type Job as JobMessage, JobStatus } from "../../../src/gen/aibroker/v1/job_pb.ts";
import { JsonPanel } from "../../json/json-tree.tsx";
import { CopyButton } from "../../parts/copy.tsx";
import { Fault } from "../../parts/fault.tsx";
import { PageHead } from "../../parts/page-head.tsx";
import { useResource } from "../../parts/resource.ts";
import { StatusChip, statusName } from "../../parts/status.tsx";
import { hrefOf } from "../../state/route.ts";
import { mayChange } from "../../state/session.ts";
import { visible } from "../../state/visible.ts";
import { jobs } from "../../wire/calls.ts";
import { follow } from "../../wire/follow.ts";
import { words } from "../../words/language.ts";
import { ActionDialog } from "./action-dialog.tsx";
import { ACTIONS, FITS, type JobAction } from "./actions.ts";
import { storyOf, tells } from "./attempts.ts";
import { dispatchCall, getCall } from "./grpcurl.ts";
import { JobFacts } from "./job-facts.tsx";
import { Timeline } from "./timeline.tsx";

/** What events do not tell, a heartbeat and progress, is looked for so often while the job runs. */
const RUNNING_LOOK_MS = 4_000;
/** More events than that are a page of their own in the CLI. */
const MOST_EVENTS = 500;

export function Job({ id }: { id: string }) {
  const isRunning = useSignal(false);
  const { value, error, refresh } = useResource(
    async (signal) => {
      const [{ job }, told] = await Promise.all([
        jobs.getJob({ jobId: id }, { signal }),
        jobs.listJobEvents({ jobId: id, pageSize: MOST_EVENTS }, { signal }),
      ]);
      isRunning.value = job?.status === JobStatus.RUNNING;
      return { job, told };
    },
    id,
    isRunning.value ? RUNNING_LOOK_MS : undefined,
  );
  useChanges(id, refresh);
  const t = words.value.job;
  const { job: seen, told } = value.value ?? {};
  const story = useMemo(() => told && storyOf(told.events, told.lease), [told]);
  return (
    <>
      <PageHead title={t.title} above={{ text: words.value.jobs.title, href: hrefOf("jobs") }} />
      <div class="job-id">
        <code>{id}</code>
        <CopyButton text={id} label={t.copyId} />
        {seen && <StatusChip status={statusName(seen.status)} />}
      </div>
      {error.value && <Fault error={error.value} retry={refresh} />}
      {seen === undefined || story === undefined || told === undefined ? (
        error.value === undefined && <p class="loading">{words.value.loading}</p>
      ) : (
        <>
          <JobActions job={seen} refresh={refresh} />
          <div class="job-columns">
            <div>
              <Timeline story={story} lease={told.lease} />
              <JobFacts job={seen} isErrorTold={tells(story, seen.lastError)} />
            </div>
            <div>
              <JsonPanel title={t.payload} text={seen.job?.payloadJson ?? "{}"} />
              {seen.result !== undefined && seen.result.resultJson !== "" && (
                <JsonPanel title={t.result} text={seen.result.resultJson} />
              )}
            </div>
          </div>
        </>
      )}
    </>
  );
}

/** WatchJobs tells when something has happened; what it was is then read as a whole. */
function useChanges(id: string, refresh: () => void): void {
  const isVisible = visible.value;
  useEffect(() => {
    if (!isVisible) return undefined;
    const leave = new AbortController();
    void follow({
      open: (signal) => jobs.watchJobs({ jobIds: [id], changesOnly: true }, { signal }),
      take: ({ frame }) => void (frame.case === "changes" && refresh()),
      // What happened while it was away is read when it is back.
      link: ({ kind }) => void (kind === "live" && refresh()),
      signal: leave.signal,
    });
    return () => leave.abort();
  }, [id, isVisible]);
}

function JobActions({ job: seen, refresh }: { job: JobMessage; refresh: () => void }) {
  const asked = useSignal<JobAction | undefined>(undefined);
  const t = words.value.job;
  const { job } = seen;
  if (job === undefined) return null;
  const status = statusName(seen.status);
  const possible = mayChange.value ? ACTIONS.filter((action) => FITS[action].includes(status)) : [];
  const done = () => {
    asked.value = undefined;
    refresh();
  };
  return (
    <div class="toolbar" role="toolbar" aria-label={words.value.actions}>
      {possible.map((action) => (
        <button key={action} type="button" class="small" onClick={() => (asked.value = action)}>
          {words.value.jobs.verbs[action]}…
        </button>
      ))}
      <CopyButton text={getCall(job.id)} label={t.copyGet}>
        {t.copyGet}
      </CopyButton>
      <CopyButton text={dispatchCall(job)} label={t.copyDispatch}>
        {t.copyDispatch}
      </CopyButton>
      {asked.value && (
        <ActionDialog
          action={asked.value}
          target={{ ids: [job.id] }}
          priority={job.priority}
          close={() => (asked.value = undefined)}
          done={done}
        />
      )}
    </div>
  );
}
