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
import { brokerDatabase, brokerSystem } from "../systems/ai-job-broker.ts";
import { inTurn } from "./in-turn.ts";
import type { BenchContext, BenchMeasure } from "./measure.ts";

const CONCURRENCY = 500;
const DONE = { quick: 3_000, whole: 20_000 };
const MANY = { quick: 100_000, whole: 1_000_000 };
const DAY_S = 86_400;

export const backlog: BenchMeasure = {
  name: "backlog",
  about: "jobs a second, drained over few and over very many waiting jobs",
  async run(context: BenchContext): Promise<Measure[]> {
    const { ground, quick } = context;
    const sql = openPool({ url: await brokerDatabase(ground), statementTimeoutMs: 600_000, lockTimeoutMs: 5_000 }, 1);
    const jobs = quick ? DONE.quick : DONE.whole;
    const cases = casesOf(jobs, quick ? MANY.quick : MANY.whole);
    const over = async ([, backlogs]: (typeof cases)[0]) => {
      await clear(sql);
      for (const one of backlogs) await fill(sql, one);
      return await drainSome(ground, sql, jobs);
    };
    try {
      const results = await inTurn(context, "backlog", cases, ([title]) => title, over);
      await clear(sql);
      const about = { measure: "backlog", system: "ai-job-broker", unit: "jobs/s" };
      return cases.map(([setting], at) => measureOf({ ...about, setting }, results[at] ?? []));
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
  const shown = many.toLocaleString("en-US");
  return [
    [`${jobs.toLocaleString("en-US")} waiting`, [due(jobs)]],
    [`${shown} waiting`, [due(many)]],
    [`${shown} of other types beside`, [due(jobs), { ...due(many), types: ["tag", "grade", "embed"] }]],
    [`${shown} scheduled for later beside`, [due(jobs), { ...due(many), firstDueSeconds: 30 * DAY_S }]],
  ];
}

/** How fast so many jobs are done, by one SDK worker. */
async function drainSome(ground: BenchContext["ground"], sql: Sql, jobs: number): Promise<number> {
  const system = brokerSystem({ via: "grpc-js" });
  const running = await system.start(ground);
  const worker = startChild(join(import.meta.dirname, "../harness/work.ts"));
  try {
    await opened(worker, { client: system.name, target: running.target, concurrency: CONCURRENCY });
    let done = 0;
    const count = async () => {
      const [row] = await sql<{ done: number }[]>`SELECT count(*)::int AS done FROM ai_result`;
      done = row?.done ?? 0;
      return done >= jobs;
    };
    await until(count, 300_000, () => `${done} of ${jobs} jobs were done`);
    return done / ((nowUs() - (await worker.ask<number>("firstUs"))) / 1e6);
  } finally {
    await worker.stop();
    await running.stop();
  }
}
