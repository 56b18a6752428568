/** unary and shim: one job a call, many calls at a time. */
import { join } from "node:path";
import { openPool, type Sql } from "../../src/store/db.ts";
import { clear, fill } from "../backlog.ts";
import { startBroker } from "../harness/broker.ts";
import type { Calls } from "../harness/calls.ts";
import { startChild } from "../harness/child.ts";
import { dueJobs } from "../harness/due-jobs.ts";
import { type Measure, measureOf } from "../harness/figures.ts";
import type { Ground } from "../harness/ground.ts";
import { type Used, usedMeasures, watchUse } from "../harness/used.ts";
import { brokerDatabase } from "../systems/ai-job-broker.ts";
import { inTurn } from "./in-turn.ts";
import type { BenchContext, BenchMeasure } from "./measure.ts";

const JOBS = { quick: 2_000, whole: 6_000 };
/** Before the clock starts: a process that has just come up compiles more than it works. */
const WARM_UP = { quick: 1_000, whole: 3_000 };
const IN_FLIGHT = 64;

interface Way {
  by: Calls["by"];
  /** Under which name it is recorded. */
  system: "ai-job-broker" | "plain statements";
  setting: string;
}

interface Round {
  perSecond: number;
  used: Used<"server" | "worker">;
}

const PLAIN: Way = {
  by: "statements",
  system: "plain statements",
  setting: `a statement for each claim and each report, in-process, ${IN_FLIGHT} in flight`,
};

export const unary: BenchMeasure = {
  name: "unary",
  about: "jobs a second by one Claim and one Report call each",
  run: (context) =>
    measureWays(context, "unary", [
      { by: "gRPC", system: "ai-job-broker", setting: `Claim and Report over gRPC, ${IN_FLIGHT} in flight` },
      PLAIN,
    ]),
};

export const shim: BenchMeasure = {
  name: "shim",
  about: "jobs a second by GET next and POST result, as legacy workers do",
  run: (context) =>
    measureWays(context, "shim", [
      { by: "REST", system: "ai-job-broker", setting: `REST next and result, ${IN_FLIGHT} in flight` },
    ]),
};

async function measureWays(context: BenchContext, name: string, ways: Way[]): Promise<Measure[]> {
  const { ground, quick } = context;
  const databaseUrl = await brokerDatabase(ground);
  const sql = openPool({ url: databaseUrl, statementTimeoutMs: 60_000, lockTimeoutMs: 5_000 }, 1);
  const jobs = quick ? JOBS.quick : JOBS.whole;
  const warmUp = quick ? WARM_UP.quick : WARM_UP.whole;
  const results = await inTurn(
    context,
    name,
    ways,
    ({ setting }) => setting,
    (way) => measure(ground, sql, databaseUrl, way, { jobs, warmUp }),
  ).finally(() => sql.end());
  return ways.flatMap(({ system, setting }, at) => {
    const about = { system, setting };
    const rounds = results[at] ?? [];
    return [
      measureOf(
        { ...about, measure: name, unit: "jobs/s" },
        rounds.map(({ perSecond }) => perSecond),
      ),
      ...usedMeasures(
        name,
        about,
        rounds.map(({ used }) => used),
      ),
    ];
  });
}

async function measure(
  ground: Ground,
  sql: Sql,
  databaseUrl: string,
  { by }: Way,
  { jobs, warmUp }: { jobs: number; warmUp: number },
): Promise<Round> {
  await clear(sql);
  await fill(sql, dueJobs(jobs + warmUp));
  const broker = by === "statements" ? undefined : await startBroker({ databaseUrl, folder: ground.folder });
  const child = startChild(join(import.meta.dirname, "../harness/calls.ts"));
  try {
    const calls = { url: broker?.url ?? databaseUrl, by, inFlight: IN_FLIGHT };
    const run = (jobs: number) =>
      child.ask<{ done: number; tookUs: number }>("run", { ...calls, jobs } satisfies Calls);
    await run(warmUp);
    const usedBy = await watchUse({ server: broker?.pid, worker: child.pid }, ground);
    const { done, tookUs } = await run(jobs);
    const used = await usedBy(jobs);
    if (done !== jobs) throw new Error(`${done} jobs were done by ${by}, and ${jobs} were there`);
    return { perSecond: jobs / (tookUs / 1e6), used };
  } finally {
    await child.stop();
    await broker?.end("SIGTERM");
  }
}
