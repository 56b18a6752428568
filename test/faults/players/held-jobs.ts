/** The jobs of one plain worker: what it holds, kept alive by calls, until they are lost or reported. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Caller } from "../../../src/client/caller.ts";
import { AIResultStatus, type ClaimedJob } from "../../../src/gen/aibroker/v1/job_pb.ts";
import { LeaseVerdict, type ReportItemSchema, WorkerService } from "../../../src/gen/aibroker/v1/worker_service_pb.ts";
import { pass } from "../pace.ts";
import type { Payload } from "./settings.ts";

export type Report = MessageInitShape<typeof ReportItemSchema>;

const CALL_MS = 2_000;

export class HeldJobs {
  readonly #held = new Map<string, ClaimedJob>();
  readonly #caller: Caller;
  readonly #workerId: string;
  readonly #order: (leases: LeaseName[]) => LeaseName[];

  /** `leaseMs` undefined: no heartbeats. `order`: in which the leases stand in one. */
  constructor(caller: Caller, workerId: string, leaseMs: number | undefined, order = (leases: LeaseName[]) => leases) {
    this.#caller = caller;
    this.#workerId = workerId;
    this.#order = order;
    if (leaseMs !== undefined) void this.#beat(leaseMs / 3);
  }

  take(jobs: readonly ClaimedJob[]): void {
    for (const job of jobs) this.#held.set(job.leaseToken, job);
  }

  has(token: string): boolean {
    return this.#held.has(token);
  }

  drop(token: string): void {
    this.#held.delete(token);
  }

  /** A heartbeat now, for all that is held. */
  async beat(caller = this.#caller): Promise<void> {
    const names = Array.from(this.#held.values(), ({ job, leaseToken }) => ({ jobId: job?.id ?? "", leaseToken }));
    const leases = this.#order(names);
    if (leases.length === 0) return;
    const request = { workerId: this.#workerId, leases };
    const answer = await caller.once(WorkerService.method.heartbeat, request, { timeoutMs: CALL_MS });
    for (const [at, { verdict }] of answer.leases.entries()) {
      if (verdict === LeaseVerdict.LOST) this.#held.delete(leases[at]?.leaseToken ?? "");
    }
  }

  async #beat(everyMs: number): Promise<void> {
    for (;;) {
      await pass(everyMs);
      // The next one comes soon enough.
      await this.beat().catch(() => undefined);
    }
  }
}

interface LeaseName {
  jobId: string;
  leaseToken: string;
}

/** Works on a job as its payload asks; answers with what is to be reported. */
export async function workOn(claimed: ClaimedJob, by: string): Promise<Report> {
  const { job, leaseToken, attempt } = claimed;
  const { ms, failures } = JSON.parse(job?.payloadJson || "{}") as Payload;
  await pass(ms);
  const jobId = job?.id ?? "";
  if (attempt <= failures) {
    const error = `attempt ${attempt} of ${by} fails, as the job asks`;
    return { leaseToken, result: { jobId, status: AIResultStatus.AI_RESULT_STATUS_FAILED, error } };
  }
  const resultJson = JSON.stringify({ by, attempt });
  return { leaseToken, result: { jobId, status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson } };
}

/** The same lease's report, with the other outcome. */
export function opposite({ leaseToken, result }: Report): Report {
  const wasDone = result?.status === AIResultStatus.AI_RESULT_STATUS_DONE;
  const status = wasDone ? AIResultStatus.AI_RESULT_STATUS_FAILED : AIResultStatus.AI_RESULT_STATUS_DONE;
  const words = wasDone ? { error: "the other way" } : { resultJson: '{"other":true}' };
  return { leaseToken, result: { jobId: result?.jobId ?? "", status, ...words } };
}

/** Sends reports until a broker has answered. */
export async function reportUntilAnswered(caller: Caller, workerId: string, items: Report[]): Promise<void> {
  for (;;) {
    try {
      await caller.once(WorkerService.method.report, { workerId, items }, { timeoutMs: CALL_MS });
      return;
    } catch {
      await pass(100);
    }
  }
}
