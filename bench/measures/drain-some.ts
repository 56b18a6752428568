/** A drain by one SDK worker of jobs that were stored by SQL, as many as are wanted of them. */
import { join } from "node:path";
import type { Sql } from "../../src/store/db.ts";
import { startChild } from "../harness/child.ts";
import { nowUs } from "../harness/clock.ts";
import { type Measure, measureOf } from "../harness/figures.ts";
import type { Ground } from "../harness/ground.ts";
import { opened } from "../harness/load.ts";
import { until } from "../harness/until.ts";
import { type Used, usedMeasures, watchUse } from "../harness/used.ts";
import { type BrokerSystemOptions, brokerSystem } from "../systems/ai-job-broker.ts";

const CONCURRENCY = 500;
/** Before the clock starts: processes that have just come up compile more than they work. */
export const WARM_UP = 2_000;
const WITHIN_MS = 300_000;

/** The figures of one case, round by round, under the name of a measure. */
export function drainedMeasures(measure: string, setting: string, rounds: readonly Drained[]): Measure[] {
  const about = { system: "ai-job-broker", setting };
  return [
    measureOf(
      { ...about, measure, unit: "jobs/s" },
      rounds.map(({ perSecond }) => perSecond),
    ),
    ...usedMeasures(
      measure,
      about,
      rounds.map(({ used }) => used),
    ),
  ];
}

export interface Drained {
  perSecond: number;
  used: Used<"server" | "worker">;
}

/** What a million rows at once leave behind for autovacuum and the checkpointer is the filling's own. */
export async function settle(sql: Sql): Promise<void> {
  await sql`VACUUM (ANALYZE) ai_job, ai_ready`;
  await sql`CHECKPOINT`;
}

/** How fast so many jobs are durably done after the first WARM_UP; there have to be as many, or more. */
export async function drainSome(
  ground: Ground,
  sql: Sql,
  jobs: number,
  more: Pick<BrokerSystemOptions, "settings" | "isTls"> = {},
): Promise<Drained> {
  const system = brokerSystem({ via: "grpc-js", ...more });
  const running = await system.start(ground);
  const worker = startChild(join(import.meta.dirname, "../harness/work.ts"));
  let done = 0;
  const reached = (wanted: number) =>
    until(
      async () => {
        const [row] = await sql<{ done: number }[]>`SELECT count(*)::int AS done FROM ai_result`;
        done = row?.done ?? 0;
        return done >= wanted;
      },
      WITHIN_MS,
      () => `${done} of ${wanted} jobs were done`,
    );
  try {
    await opened(worker, { client: system.name, target: running.target, concurrency: CONCURRENCY });
    await reached(WARM_UP);
    const [before, beganUs] = [done, nowUs()];
    const usedBy = await watchUse({ server: running.serverPid, worker: worker.pid }, ground);
    await reached(WARM_UP + jobs);
    const tookUs = nowUs() - beganUs;
    return { perSecond: (done - before) / (tookUs / 1e6), used: await usedBy(done - before) };
  } finally {
    await worker.stop();
    await running.stop();
  }
}
