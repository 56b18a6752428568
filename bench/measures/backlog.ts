/** backlog: whether a drain keeps its pace over a million waiting jobs. */
import { join } from "node:path";
import { openPool, type Sql } from "../../src/store/db.ts";
import { type Backlog, clear, fill } from "../backlog.ts";
import { JOB_TYPE } from "../clients/client.ts";
import { startChild } from "../harness/child.ts";
import { nowUs } from "../harness/clock.ts";
import { type Measure, measureOf } from "../harness/figures.ts";
import { opened } from "../harness/load.ts";
import { until } from "../harness/until.ts";
import { type Used, usedMeasures, watchUse } from "../harness/used.ts";
import { brokerDatabase, brokerSystem } from "../systems/ai-job-broker.ts";
import { inTurn } from "./in-turn.ts";
import type { BenchContext, BenchMeasure } from "./measure.ts";

const CONCURRENCY = 500;
const DONE = { quick: 3_000, whole: 20_000 };
const MANY = { quick: 100_000, whole: 1_000_000 };
const DAY_S = 86_400;

export const backlog: BenchMeasure = {
  name: "backlog",
  about: "jobs a second, as many drained while few and while very many wait",
  async run(context: BenchContext): Promise<Measure[]> {
    const { ground, quick } = context;
    const sql = openPool({ url: await brokerDatabase(ground), statementTimeoutMs: 600_000, lockTimeoutMs: 5_000 }, 1);
    const jobs = quick ? DONE.quick : DONE.whole;
    const cases = casesOf(jobs, quick ? MANY.quick : MANY.whole);
    const over = async ([, backlogs]: (typeof cases)[0]) => {
      await clear(sql);
      for (const one of backlogs) await fill(sql, one);
      // What a million rows at once leave behind for autovacuum and the checkpointer is the filling's own.
      await sql`VACUUM (ANALYZE) ai_job, ai_ready`;
      await sql`CHECKPOINT`;
      return await drainSome(ground, sql, jobs);
    };
    try {
      const results = await inTurn(context, "backlog", cases, ([title]) => title, over);
      await clear(sql);
      return cases.flatMap(([setting], at) => measuresOf(setting, results[at] ?? [], results[0] ?? []));
    } finally {
      await sql.end();
    }
  },
};

function casesOf(jobs: number, many: number): [string, Backlog[]][] {
  const due = (rows: number): Backlog => ({
    rows,
    types: [JOB_TYPE],
    firstDueSeconds: -30 * DAY_S,
    stepSeconds: 0.001,
  });
  const [few, shown] = [jobs, many].map((count) => count.toLocaleString("en-US"));
  return [
    [`${few} waiting, all drained`, [due(jobs)]],
    [`${shown} waiting, ${few} drained`, [due(many)]],
    [`${few} waiting, ${shown} of other types beside`, [due(jobs), { ...due(many), types: ["tag", "grade", "embed"] }]],
    [`${few} waiting, ${shown} scheduled for later beside`, [due(jobs), { ...due(many), firstDueSeconds: 30 * DAY_S }]],
  ];
}

interface Drained {
  perSecond: number;
  used: Used<"server" | "worker">;
}

/**
 * The ratio is to the first case, round by round. A thousand waiting jobs would be gone before the worker is warm: the
 * few that it has are as many as are drained in every case.
 */
function measuresOf(setting: string, rounds: Drained[], few: Drained[]): Measure[] {
  const about = { system: "ai-job-broker", setting };
  const against = rounds.map(({ perSecond }, at) => perSecond / (few[at]?.perSecond ?? Number.NaN));
  return [
    measureOf(
      { ...about, measure: "backlog", unit: "jobs/s" },
      rounds.map(({ perSecond }) => perSecond),
    ),
    measureOf({ ...about, measure: "backlog: against few waiting", unit: "ratio" }, against),
    ...usedMeasures(
      "backlog",
      about,
      rounds.map(({ used }) => used),
    ),
  ];
}

/** How fast so many jobs are done, by one SDK worker. */
async function drainSome(ground: BenchContext["ground"], sql: Sql, jobs: number): Promise<Drained> {
  const system = brokerSystem({ via: "grpc-js" });
  const running = await system.start(ground);
  const worker = startChild(join(import.meta.dirname, "../harness/work.ts"));
  try {
    const usedBy = watchUse({ server: running.serverPid, worker: worker.pid }, ground.postgresPid);
    await opened(worker, { client: system.name, target: running.target, concurrency: CONCURRENCY });
    let done = 0;
    const count = async () => {
      const [row] = await sql<{ done: number }[]>`SELECT count(*)::int AS done FROM ai_result`;
      done = row?.done ?? 0;
      return done >= jobs;
    };
    await until(count, 300_000, () => `${done} of ${jobs} jobs were done`);
    const tookUs = nowUs() - (await worker.ask<number>("firstUs"));
    return { perSecond: done / (tookUs / 1e6), used: usedBy(done) };
  } finally {
    await worker.stop();
    await running.stop();
  }
}
