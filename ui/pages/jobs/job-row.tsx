/** One job in the list. */
import type { Job } from "../../../src/gen/aibroker/v1/job_pb.ts";
import { Ago } from "../../parts/ago.tsx";
import { StatusChip, statusName } from "../../parts/status.tsx";
import { hrefOf } from "../../state/route.ts";
import { msOf } from "../../wire/convert.ts";
import { words } from "../../words/language.ts";

export const JOB_COLUMNS = 7;

export function JobHeads() {
  const t = words.value.jobs;
  const heads = ["", t.status, t.type, t.id, t.attempts, t.created, t.note];
  const names = ["pick", "status", "type", "id", "attempts", "created", "note"];
  return (
    // biome-ignore lint/a11y: the rows of a grid, whose box has the focus
    <div role="rowgroup" class="rows-head">
      {/* biome-ignore lint/a11y: as above */}
      <div role="row" class="rows-columns">
        {heads.map((text, index) => (
          // biome-ignore lint/a11y: as above
          <span key={names[index]} role="columnheader" class={`cell-${names[index]}`}>
            {text === "" ? <span class="off-screen">{t.chosen}</span> : text}
          </span>
        ))}
      </div>
    </div>
  );
}

interface JobCellsProps {
  /** Undefined while it is fetched. */
  job: Job | undefined;
  isChosen: boolean;
  toggle: (id: string) => void;
}

// biome-ignore-start lint/a11y: cells of a grid that lays its rows out by itself
export function JobCells({ job: seen, isChosen, toggle }: JobCellsProps) {
  const job = seen?.job;
  if (seen === undefined || job === undefined)
    return (
      <span role="gridcell" class="cell-wait" aria-colspan={JOB_COLUMNS}>
        …
      </span>
    );
  const status = statusName(seen.status);
  const t = words.value.jobs;
  return (
    <>
      <span role="gridcell" class="cell-pick">
        <input
          type="checkbox"
          tabIndex={-1}
          checked={isChosen}
          aria-label={t.choose(job.id)}
          onChange={() => toggle(job.id)}
        />
      </span>
      <span role="gridcell" class="cell-status">
        <StatusChip status={status} />
      </span>
      <span role="gridcell" class="cell-type">
        {job.type}
      </span>
      <span role="gridcell" class="cell-id">
        <a tabIndex={-1} class="mono" href={hrefOf("jobs", job.id)}>
          {job.id}
        </a>
      </span>
      <span role="gridcell" class="cell-attempts num">
        {seen.attemptCount}/{job.maxAttempts}
      </span>
      <span role="gridcell" class="cell-created">
        <Ago at={msOf(job.createdAt)} />
      </span>
      <span role="gridcell" class="cell-note">
        {noteOf(seen)}
      </span>
    </>
  );
}
// biome-ignore-end lint/a11y: cells of a grid that lays its rows out by itself

/** What matters most of it: how far it is, who has it, what went wrong. */
function noteOf({ progress, lockedBy, lastError, status, cancelRequestedAt }: Job) {
  const t = words.value.jobs;
  const name = statusName(status);
  if (name === "RUNNING") {
    const parts = [
      lockedBy,
      cancelRequestedAt && t.cancelling,
      progress?.percent !== undefined && `${progress.percent} %`,
      progress?.note,
    ];
    return parts.filter(Boolean).join(" · ");
  }
  if (lastError !== "" && name !== "DONE") return <span class="bad-text">{lastError}</span>;
  return <span class="faint">{name === "DONE" ? lockedBy : ""}</span>;
}
