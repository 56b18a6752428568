/** Who works: live or gone, how much of its room is used, and what it holds under which lease. */
import type { Worker } from "../../../src/gen/aibroker/v1/admin_service_pb.ts";
import { type Job, JobStatus } from "../../../src/gen/aibroker/v1/job_pb.ts";
import { Ago, Countdown } from "../../parts/ago.tsx";
import { Empty } from "../../parts/empty.tsx";
import { Fault } from "../../parts/fault.tsx";
import { PageHead } from "../../parts/page-head.tsx";
import { useResource } from "../../parts/resource.ts";
import { databaseNow } from "../../state/clock.ts";
import { hrefOf } from "../../state/route.ts";
import { admin, jobs } from "../../wire/calls.ts";
import { msOf } from "../../wire/convert.ts";
import { count } from "../../words/format.ts";
import { words } from "../../words/language.ts";
import { type Presence, presenceOf, wayOf } from "./presence.ts";

/** No stream tells of workers that fall silent; a death is to be seen within 10 s. */
const LOOK_MS = 4_000;
/** Shown with their leases; of more only their number is. */
const MOST_LEASES = 500;

export function Workers() {
  const { value, error, refresh } = useResource(
    async (signal) => {
      // One after the other: what a worker is said to hold is then in the list, unless it has ended since.
      const { workers } = await admin.listWorkers({}, { signal });
      const running = await jobs.listJobs({ statuses: [JobStatus.RUNNING], pageSize: MOST_LEASES }, { signal });
      return { workers, leases: Map.groupBy(running.jobs, ({ lockedBy }) => lockedBy) };
    },
    "workers",
    LOOK_MS,
  );
  const t = words.value.workers;
  const { workers, leases } = value.value ?? {};
  return (
    <>
      <PageHead title={t.title} />
      {error.value && <Fault error={error.value} retry={refresh} />}
      {workers === undefined && error.value === undefined && <p class="loading">{words.value.loading}</p>}
      {workers?.length === 0 && (
        <Empty title={t.emptyTitle} command="npx ai-job-broker init worker my-worker">
          {t.emptyText}
        </Empty>
      )}
      {workers !== undefined && workers.length > 0 && (
        <ul class="workers">
          {workers.map((worker) => (
            <WorkerCard
              key={worker.workerId}
              worker={worker}
              leases={leases?.get(worker.workerId) ?? []}
              presence={presenceOf(worker, databaseNow())}
            />
          ))}
        </ul>
      )}
    </>
  );
}

interface WorkerCardProps {
  worker: Worker;
  /** The jobs in its hands. */
  leases: readonly Job[];
  presence: Presence;
}

function WorkerCard({ worker, leases, presence }: WorkerCardProps) {
  const t = words.value.workers;
  const { workerId, running, streams, types } = worker;
  const seats = streams.reduce((sum, { maxInFlight }) => sum + maxInFlight, 0);
  const clients = [...new Set(streams.map(({ client }) => client).filter((client) => client !== ""))];
  return (
    <li class={`panel worker worker-${presence}`}>
      <div class="worker-head">
        <span class={`badge presence-${presence}`}>
          <span class="mark" aria-hidden="true">
            {presence === "live" ? "●" : presence === "quiet" ? "◐" : "○"}
          </span>
          {t.presence[presence]}
        </span>
        <a class="mono worker-name" href={hrefOf("jobs", "", { worker: workerId, status: "RUNNING" })}>
          {workerId}
        </a>
        <span class="faint">{t.ways[wayOf(worker)]}</span>
        <span class="push" />
        <span class="faint">
          {t.lastSeen} <Ago at={msOf(worker.lastSeenAt)} />
        </span>
      </div>
      <div class="worker-facts">
        <span class="seats">
          {seats > 0 && <meter min={0} max={seats} value={Math.min(running, seats)} aria-label={t.seatsUsed} />}
          <span class="num">{seats > 0 ? t.seats(count(running), count(seats)) : t.holds(count(running))}</span>
        </span>
        <span class="faint">{types.length === 0 ? t.anyType : types.join(", ")}</span>
        {clients.length > 0 && <span class="faint">{clients.join(", ")}</span>}
        {streams.length > 1 && <span class="faint">{t.streams(count(streams.length))}</span>}
      </div>
      {leases.length > 0 && <Leases leases={leases} />}
    </li>
  );
}

function Leases({ leases }: { leases: readonly Job[] }) {
  const t = words.value.workers;
  return (
    <div class="lease-box">
      <table class="leases">
        <thead>
          <tr>
            <th scope="col">{t.job}</th>
            <th scope="col">{words.value.jobs.type}</th>
            <th scope="col" class="num">
              {t.attempt}
            </th>
            <th scope="col" class="num">
              {t.runsFor}
            </th>
            <th scope="col" class="num">
              {t.leaseLeft}
            </th>
            <th scope="col">{words.value.job.progress}</th>
          </tr>
        </thead>
        <tbody>
          {leases.map((lease) => (
            <LeaseRow key={lease.job?.id} held={lease} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function LeaseRow({ held }: { held: Job }) {
  const { job, attemptCount, lockedAt, leaseExpiresAt, progress } = held;
  const t = words.value.workers;
  if (job === undefined) return null;
  return (
    <tr>
      <td>
        <a class="mono" href={hrefOf("jobs", job.id)}>
          {job.id}
        </a>
      </td>
      <td>{job.type}</td>
      <td class="num">{attemptCount}</td>
      <td class="num">
        <Ago at={msOf(lockedAt)} />
      </td>
      <td class="num">
        {leaseExpiresAt === undefined ? t.noExpiry : <Countdown to={msOf(leaseExpiresAt)} over={t.expired} />}
      </td>
      <td>
        {progress?.percent !== undefined && `${progress.percent} % `}
        {progress?.note}
      </td>
    </tr>
  );
}
