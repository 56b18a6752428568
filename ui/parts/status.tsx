/** A job's status: a word and a mark, never the colour alone. */
import { JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { words } from "../words/language.ts";

export type StatusName = "PENDING" | "RUNNING" | "DONE" | "FAILED" | "CANCELLED";

export const STATUSES: readonly StatusName[] = ["PENDING", "RUNNING", "DONE", "FAILED", "CANCELLED"];

const MARKS: Record<StatusName, string> = { PENDING: "○", RUNNING: "◐", DONE: "●", FAILED: "▲", CANCELLED: "■" };

/** The name without the prefix of the enum; PENDING for one that this page does not know. */
export function statusName(status: JobStatus): StatusName {
  return STATUSES.find((name) => JobStatus[name] === status) ?? "PENDING";
}

export function StatusChip({ status }: { status: StatusName }) {
  return (
    <span class={`chip status-${status.toLowerCase()}`}>
      <span class="mark" aria-hidden="true">
        {MARKS[status]}
      </span>
      {words.value.status[status]}
    </span>
  );
}
