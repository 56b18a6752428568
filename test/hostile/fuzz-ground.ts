/** A broker with jobs and leases that a fuzz can name, and what must hold of its rows whatever it was told. */
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import type { Sql } from "../../src/store/db.ts";
import { findDrift } from "../../src/store/drift.ts";
import { test as base } from "../support/db.ts";
import { withToken } from "../support/rpc-clients.ts";
import { type Known, WORKER } from "./fuzz-values.ts";
import { type GoodClient, startGoodClient } from "./good-client.ts";
import { API_TOKEN, type HostileBroker, startHostileBroker, WORKER_TOKEN } from "./hostile-broker.ts";
import { versionOf } from "./under-attack.ts";

export interface Quarry {
  broker: HostileBroker;
  /** Works beside the fuzz, which may take its jobs. */
  client: GoodClient;
  postgres: string;
  known: Known;
}

const TYPES = ["fuzz", "note", "other"];
const JOBS = 150;
const CLAIMED = 60;

export const test = base.extend<{ quarry: Quarry }>({
  quarry: [
    async ({ url, pools }, use) => {
      const broker = await startHostileBroker(url);
      const known = await fill(broker);
      const client = await startGoodClient(broker.url, { shared: true });
      await client.after(600);
      await use({ broker, client, known, postgres: await versionOf(pools) });
      await client.stop();
      await broker.stop();
    },
    { scope: "file" },
  ],
});

async function fill({ url: baseUrl }: HostileBroker): Promise<Known> {
  const jobs = createClient(JobService, createGrpcTransport({ baseUrl, interceptors: [withToken(API_TOKEN)] }));
  const worker = createClient(WorkerService, createGrpcTransport({ baseUrl, interceptors: [withToken(WORKER_TOKEN)] }));
  const all = Array.from({ length: JOBS }, (_, at) => ({ id: `fuzz-${at}`, type: TYPES[at % TYPES.length] as string }));
  await jobs.dispatch({ jobs: all });
  const { jobs: claimed } = await worker.claim({ workerId: WORKER, maxJobs: CLAIMED });
  return {
    jobIds: all.map(({ id }) => id),
    leaseTokens: claimed.map(({ leaseToken }) => leaseToken),
    drawn: new Set(),
  };
}

/** Rows that break an invariant, one line each. */
export async function brokenRows(sql: Sql): Promise<string[]> {
  const { drifts } = await findDrift(sql);
  const rows = await sql`
    SELECT job_id || ' ' || status || ' ' || attempt_count || ' of ' || max_attempts AS words FROM ai_job
    WHERE attempt_count NOT BETWEEN 0 AND max_attempts OR deliveries < attempt_count
      OR status NOT IN ('PENDING', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED')
      OR (status = 'RUNNING') <> (lease_token IS NOT NULL)
      OR jsonb_typeof(payload) <> 'object' OR priority NOT BETWEEN -1000 AND 1000 LIMIT 20`;
  return [...drifts.map((drift) => JSON.stringify(drift)), ...rows.map((row) => String(row["words"]))];
}
