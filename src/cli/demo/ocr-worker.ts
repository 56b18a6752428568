/** An OCR worker over gRPC: claim with a long poll, heartbeat while it works, report. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { AIResultStatus, type ClaimedJob } from "../../gen/aibroker/v1/job_pb.ts";
import { LeaseVerdict, WorkerService } from "../../gen/aibroker/v1/worker_service_pb.ts";
import { type Caller, connect, insist } from "./grpc.ts";
import { type Cast, order, tell } from "./ipc.ts";
import { openSkills, type Skills } from "./skills.ts";

type Worker = Caller<typeof WorkerService>;

/** Works until the process is ended. */
export async function workOverGrpc({ workerId, url, token, imageDir, languageDir }: Cast): Promise<never> {
  const skills = openSkills(imageDir, languageDir);
  await skills.warmUp();
  const worker = connect(url, token).service(WorkerService);
  tell({ kind: "ready" });
  const { hold } = await order("go");
  for (;;) {
    // The broker answers as soon as a job is there, or with none after 10 s. Were the answer lost, the same requestId
    // would bring the same job again.
    const claim = { workerId, types: ["ocr"], maxJobs: 1, wait: { seconds: 10n }, requestId: randomUUID() };
    const { jobs } = await insist(() => worker.claim(claim, { timeoutMs: 20_000 }));
    for (const claimed of jobs) await attempt(worker, workerId, skills, claimed, hold);
  }
}

async function attempt(worker: Worker, workerId: string, skills: Skills, claimed: ClaimedJob, hold: boolean) {
  const jobId = claimed.job?.id ?? "";
  tell({ kind: "began", jobId });
  const finished = new AbortController();
  const kept = keepLease(worker, workerId, claimed, finished.signal);
  const work = skills.work(claimed.job?.type ?? "", JSON.parse(claimed.job?.payloadJson || "{}"));
  const result = await work.then(
    (output) => ({ jobId, status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson: JSON.stringify(output) }),
    (error: Error) => ({ jobId, status: AIResultStatus.AI_RESULT_STATUS_FAILED, error: error.message }),
  );
  if (hold) await kept;
  finished.abort();
  // Another worker has the job by now: a report would only be answered with LEASE_LOST.
  if ((await kept) === "lost") return;
  const items = [{ leaseToken: claimed.leaseToken, result }];
  const { results } = await insist(() => worker.report({ workerId, items }));
  const outcome = result.status === AIResultStatus.AI_RESULT_STATUS_DONE ? "DONE" : "FAILED";
  tell({ kind: "reported", jobId, outcome, answer: results[0]?.message ?? "" });
}

/** Sends a heartbeat every third of the lease until the work is finished or the lease is lost. */
async function keepLease(
  worker: Worker,
  workerId: string,
  claimed: ClaimedJob,
  finished: AbortSignal,
): Promise<"held" | "lost"> {
  const jobId = claimed.job?.id ?? "";
  const ttlMs = Number(claimed.leaseTtl?.seconds ?? 0n) * 1000 + (claimed.leaseTtl?.nanos ?? 0) / 1e6;
  const leases = [{ jobId, leaseToken: claimed.leaseToken }];
  while (await pause(ttlMs / 3, finished)) {
    // A heartbeat that fails is made up for by the next one: two fit into what is left of the lease.
    const answer = await worker.heartbeat({ workerId, leases }, { timeoutMs: ttlMs / 3 }).catch(() => undefined);
    const renewal = answer?.leases[0];
    if (renewal?.verdict === LeaseVerdict.LOST) return "lost";
    if (renewal) tell({ kind: "beat", jobId });
  }
  return "held";
}

/** False when the signal came before the time was over. */
function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return sleep(ms, true, { signal }).catch(() => false);
}
