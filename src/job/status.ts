/** The states of a job, spelled as the database and Django spell them. */
export const STATUSES = ["PENDING", "RUNNING", "DONE", "FAILED", "CANCELLED"] as const;

export type Status = (typeof STATUSES)[number];

/** The states that a job leaves only by an explicit retry. */
export type Terminal = Extract<Status, "DONE" | "FAILED" | "CANCELLED">;

export function isTerminal(status: Status): status is Terminal {
  return status === "DONE" || status === "FAILED" || status === "CANCELLED";
}
