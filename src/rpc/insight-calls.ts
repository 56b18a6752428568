/** AdminService's reads about the broker itself: its settings, its health, the starts of workers' instances. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type GetHealthResponseSchema,
  HealthLevel,
  type WorkerStartSchema,
} from "../gen/aibroker/v1/admin_service_pb.ts";
import { checkDatabase } from "../health/database-checks.ts";
import type { Finding } from "../health/finding.ts";
import type { Database } from "../store/db.ts";
import { listStarts, type WorkerStart } from "../store/ec2-starts.ts";
import { serverFacts } from "../store/server-facts.ts";
import { timestamp } from "./convert.ts";
import type { ServiceContext } from "./service-context.ts";

const LEVELS: Record<Finding["level"], HealthLevel> = {
  ok: HealthLevel.OK,
  warn: HealthLevel.WARN,
  FAIL: HealthLevel.FAIL,
};

/** So many jobs are looked through for a drift; the sweep, which goes through all, mends what there is. */
const DRIFT_JOBS = 100_000;
const FRESH_MS = 10_000;

type Health = MessageInitShape<typeof GetHealthResponseSchema>;

export function insightCalls({ db, limits, starts }: Pick<ServiceContext, "db" | "limits" | "starts">) {
  const health = kept(() => examine(db, limits.databaseConnections), FRESH_MS);
  return {
    getHealth: async () => await health(),

    async listStarts() {
      return {
        starts: (await listStarts(db)).map(workerStart),
        instanceIds: [...(starts?.instanceIds ?? [])],
        dryRun: starts?.dryRun ?? false,
        dryRuns: (starts?.dryRuns() ?? []).map((one) => ({
          ...one,
          source: "loop",
          wantedAt: timestamp(one.wantedAt),
        })),
      };
    },
  };
}

async function examine(db: Database, poolSize: number): Promise<Health> {
  const findings = await checkDatabase(db.background, { poolSize, driftJobs: DRIFT_JOBS });
  const { now } = await serverFacts(db);
  return {
    lines: findings.map(({ check, level, detail, advice = "" }) => {
      return { name: check, level: LEVELS[level], text: detail, advice };
    }),
    checkedAt: timestamp(now),
  };
}

/** The last answer, for a while; whoever asks while one is made shares it. One that fails is nobody's. */
function kept<T>(make: () => Promise<T>, forMs: number): () => Promise<T> {
  let last: { answer: Promise<T>; at: number } | undefined;
  return () => {
    if (last !== undefined && performance.now() - last.at < forMs) return last.answer;
    const made = { answer: make(), at: performance.now() };
    last = made;
    made.answer.catch(() => {
      if (last === made) last = undefined;
    });
    return made.answer;
  };
}

function workerStart(start: WorkerStart): MessageInitShape<typeof WorkerStartSchema> {
  return {
    ...start,
    wantedAt: timestamp(start.wantedAt),
    startedAt: timestamp(start.startedAt),
    endedAt: timestamp(start.endedAt),
    outcome: start.outcome ?? "",
    workerId: start.workerId ?? "",
  };
}
