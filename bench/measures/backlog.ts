/** backlog: whether a drain keeps its pace over a million waiting jobs. */
import { openPool } from "../../src/store/db.ts";
import { type Backlog, clear, fill } from "../backlog.ts";
import { JOB_TYPE, PAYLOAD_BYTES } from "../clients/client.ts";
import { type Measure, measureOf } from "../harness/figures.ts";
import { brokerDatabase } from "../systems/ai-job-broker.ts";
import { type Drained, drainedMeasures, drainSome, settle, WARM_UP } from "./drain-some.ts";
import { inTurn } from "./in-turn.ts";
import type { BenchContext, BenchMeasure } from "./measure.ts";

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
      await settle(sql);
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
    payloadBytes: PAYLOAD_BYTES,
  });
  const [few, shown] = [jobs, many].map((count) => count.toLocaleString("en-US"));
  return [
    [`${few} waiting, all drained`, [due(WARM_UP + jobs)]],
    [`${shown} waiting, ${few} drained`, [due(many)]],
    [
      `${few} waiting, ${shown} of other types beside`,
      [due(WARM_UP + jobs), { ...due(many), types: ["tag", "grade", "embed"] }],
    ],
    [
      `${few} waiting, ${shown} scheduled for later beside`,
      [due(WARM_UP + jobs), { ...due(many), firstDueSeconds: 30 * DAY_S }],
    ],
  ];
}

/**
 * The ratio is to the first case, round by round. A thousand waiting jobs would be gone before the worker is warm: the
 * few that it has are as many as are drained in every case.
 */
function measuresOf(setting: string, rounds: Drained[], few: Drained[]): Measure[] {
  const about = { system: "ai-job-broker", setting };
  const against = rounds.map(({ perSecond }, at) => perSecond / (few[at]?.perSecond ?? Number.NaN));
  return [
    ...drainedMeasures("backlog", setting, rounds),
    measureOf({ ...about, measure: "backlog: against few waiting", unit: "ratio" }, against),
  ];
}
