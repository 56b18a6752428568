/** The jobs of a bench where SQL stores them: all due since yesterday, and as long as those that are dispatched. */
import type { Backlog } from "../backlog.ts";
import { JOB_TYPE, PAYLOAD_BYTES } from "../clients/client.ts";

export function dueJobs(rows: number, payloadBytes = PAYLOAD_BYTES): Backlog {
  return { rows, types: [JOB_TYPE], firstDueSeconds: -86_400, stepSeconds: 0, payloadBytes };
}
