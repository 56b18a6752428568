/**
 * A decent client in a process of its own, so that its figures are the broker's and not those of a busy attacker: it
 * dispatches, claims, reports and asks, one call after the other, and tells what became of them when it is asked.
 */
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AdminService } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { withToken } from "../support/rpc-clients.ts";
import type { Figures } from "./good-client.ts";

const [baseUrl = "", workerToken = "", apiToken = "", shared] = process.argv.slice(2);
/** Between its rounds, so that the machine's load is not made by it. */
const PAUSE_MS = 10;

const transport = (token: string) =>
  createGrpcTransport({ baseUrl, interceptors: [withToken(token)], defaultTimeoutMs: 30_000 });
const api = transport(apiToken);
const jobs = createClient(JobService, api);
const admin = createClient(AdminService, api);
const worker = createClient(WorkerService, transport(workerToken));

let times: number[] = [];
let failures: string[] = [];

process.on("message", (asked) => {
  if (asked === "count") return void process.send?.(times.length);
  const sorted = times.sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const figures: Figures = { calls: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1), failures };
  times = [];
  failures = [];
  process.send?.(figures);
});
process.on("disconnect", () => process.exit(0));

void round();

async function round(): Promise<void> {
  await timed("GetServerInfo", () => admin.getServerInfo({}));
  const sent = await timed("Dispatch", () => jobs.dispatch({ jobs: [{ type: "good", payloadJson: "{}" }] }));
  const claimed = await timed("Claim", () => worker.claim({ workerId: "good", types: ["good"], maxJobs: 10 }));
  const items = (claimed?.jobs ?? []).map(({ job, leaseToken }) => ({
    leaseToken,
    result: { jobId: job?.id ?? "", status: AIResultStatus.AI_RESULT_STATUS_DONE },
  }));
  if (items.length > 0) await timed("Report", () => worker.report({ workerId: "good", items }));
  const isMissed = sent !== undefined && claimed?.jobs.length === 0;
  if (isMissed && shared === undefined) failures.push("Claim: nothing was there after a Dispatch");
  if (process.connected) setTimeout(() => void round(), PAUSE_MS);
}

async function timed<T>(name: string, call: () => Promise<T>): Promise<T | undefined> {
  const since = performance.now();
  try {
    return await call();
  } catch (err) {
    failures.push(`${name}: ${(err as Error).message}`);
    return undefined;
  } finally {
    times.push(performance.now() - since);
  }
}
