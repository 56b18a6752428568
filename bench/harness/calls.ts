/** Workers of one job a call, many at a time, a process of their own: by gRPC, by REST, or straight by the store. */
import { grpcJsLink } from "../../src/client/grpc-js-link.ts";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { DEFAULT_BACKOFF } from "../../src/job/retry.ts";
import { claim } from "../../src/store/claim.ts";
import { openDatabase } from "../../src/store/db.ts";
import { report } from "../../src/store/report.ts";
import { JOB_TYPE } from "../clients/client.ts";
import { answerParent } from "./answer-parent.ts";
import { WORKER_TOKEN } from "./broker.ts";
import { nowUs } from "./clock.ts";

export interface Calls {
  /** gRPC and REST: the broker's; statements: the database's. */
  url: string;
  by: "gRPC" | "REST" | "statements";
  inFlight: number;
  /** Jobs, of which there may be more; each worker goes on until it has ended the one that it was at. */
  jobs: number;
}

/** Takes one job and ends it; false: there was none. */
type Once = (workerId: string) => Promise<boolean>;

const RESULT = { ok: true };
const LIMIT = { timeoutMs: 30_000 };

async function byGrpc(url: string): Promise<Once> {
  const { call } = grpcJsLink({ url, token: WORKER_TOKEN, transport: "grpc-js" });
  const { claim, report } = WorkerService.method;
  return async (workerId) => {
    const [claimed] = (await call(claim, { workerId, types: [JOB_TYPE], maxJobs: 1 }, LIMIT)).jobs;
    if (claimed === undefined) return false;
    const result = {
      jobId: claimed.job?.id ?? "",
      status: AIResultStatus.AI_RESULT_STATUS_DONE,
      resultJson: JSON.stringify(RESULT),
    };
    await call(report, { workerId, items: [{ leaseToken: claimed.leaseToken, result }] }, LIMIT);
    return true;
  };
}

/** As the old workers do: GET next, POST result, each worker on its own connection. */
async function byRest(url: string): Promise<Once> {
  const base = `${url}/api/v1/internal/ai/job`;
  return async (workerId) => {
    const headers = { "x-worker-token": WORKER_TOKEN, "x-worker-id": workerId, "content-type": "application/json" };
    const next = await fetch(`${base}/next/`, { headers });
    const { job } = (await next.json()) as { job: { id: string } | null };
    if (job === null) return false;
    const body = JSON.stringify({ job_id: job.id, status: "DONE", result: RESULT });
    const done = await fetch(`${base}/result/`, { method: "POST", headers, body });
    await done.arrayBuffer();
    if (!done.ok) throw new Error(`the result was answered with ${done.status}`);
    return true;
  };
}

/** A statement for each claim and each report, on as many connections as a broker has. */
async function byStatements(url: string): Promise<Once> {
  const limits = { statementTimeoutMs: 10_000, lockTimeoutMs: 5_000 };
  const db = openDatabase({ url, poolSize: 8, reservedSize: 4, ...limits });
  let count = 0;
  return async (workerId) => {
    const token = `${workerId}-${++count}`;
    const options = {
      workerId,
      types: [JOB_TYPE],
      limit: 1,
      leaseMs: 60_000,
      maxBytes: 4_000_000,
      token,
      requestId: null,
    };
    const [lease] = (await claim(db.sql, options)).leases;
    if (lease === undefined) return false;
    const { jobId } = lease;
    const done = {
      jobId,
      token: lease.token,
      result: JSON.stringify(RESULT),
      error: "",
      retryable: true,
      retryDelayMs: null,
    };
    await report(db.reserved, [{ ...done, status: "DONE" }], DEFAULT_BACKOFF);
    return true;
  };
}

const WAYS = { gRPC: byGrpc, REST: byRest, statements: byStatements };

let once: Once | undefined;

answerParent(
  {
    /** Works until so many jobs are done, or the queue is empty; answers how many and how long. */
    async run({ url, by, inFlight, jobs }: Calls) {
      once ??= await WAYS[by](url);
      let begun = 0;
      let done = 0;
      const beganUs = nowUs();
      const work = async (at: number) => {
        while (begun < jobs) {
          begun++;
          if (!(await once?.(`bench-${at}`))) return;
          done++;
        }
      };
      await Promise.all(Array.from({ length: inFlight }, (_, at) => work(at)));
      return { done, tookUs: nowUs() - beganUs };
    },
  },
  async () => undefined,
);
