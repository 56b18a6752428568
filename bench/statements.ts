/**
 * What each statement of a job's life takes by itself, from this process and back? `npm run bench:statements`
 *   -- --times 400    how often each
 *   -- --json FILE    the figures for a machine, too
 *
 * One caller, an idle Postgres that commits to disk, the pools of a broker. Below the dispatch (or the hand-off) no
 * latency can come, whatever stands around it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { DEFAULT_BACKOFF } from "../src/job/retry.ts";
import { claimForSeats } from "../src/store/claim.ts";
import { type Database, openDatabase } from "../src/store/db.ts";
import { dispatch } from "../src/store/dispatch.ts";
import { report } from "../src/store/report.ts";
import type { NewJob, Seat, SeatLease } from "../src/store/rows.ts";
import { brokerSeen, openSessions } from "../src/store/sessions.ts";
import { JOB_TYPE, payloadOf } from "./clients/client.ts";
import { nowUs } from "./harness/clock.ts";
import { type Measure, markdown, measureOf, percentile, writeMeasures } from "./harness/figures.ts";
import { openGround } from "./harness/ground.ts";
import { readOptions, wholeFrom } from "./harness/options.ts";
import { brokerDatabase } from "./systems/ai-job-broker.ts";

const values = readOptions(import.meta.filename, {
  times: { type: "string", default: "400" },
  json: { type: "string" },
});
const times = wholeFrom(1, "--times", values.times);
const WARM_UP = 50;
/** Between two statements, so that each meets a Postgres that has nothing else to do. */
const PAUSE_MS = 2;
const seat: Seat = { instanceId: "bench", sessionId: "bench", workerId: "bench" };

const ground = await openGround();
try {
  const url = await brokerDatabase(ground);
  const db = openDatabase({ url, poolSize: 8, reservedSize: 4, statementTimeoutMs: 10_000, lockTimeoutMs: 5_000 });
  try {
    await prepare(db);
    const measures = await measureAll(db);
    const rows = measures.map(({ setting, rounds }) => [
      setting,
      ...[0.5, 0.95].map((share) => percentile(rounds, share).toFixed(2)),
    ]);
    console.log(`\n${ground.machine}\n\n${markdown(["statement", "p50, ms", "p95"], rows)}`);
    if (values.json !== undefined) writeMeasures(values.json, ground.machine, measures);
  } finally {
    await db.close();
  }
} finally {
  await ground.close();
}

async function prepare(db: Database): Promise<void> {
  await brokerSeen(db.sql, "bench");
  await openSessions(db.sql, "bench", [{ ...seat, types: [], maxInFlight: 1_000, client: "" }]);
  await db.sql`CREATE TABLE bench_row (id bigserial PRIMARY KEY, payload jsonb)`;
}

/** In turn, so that all of them meet the same moments of a shared machine. */
async function measureAll(db: Database): Promise<Measure[]> {
  const statements = Object.entries(statementsOf(db));
  const tookMs = statements.map(() => [] as number[]);
  for (let time = -WARM_UP; time < times; time++) {
    for (const [at, [, run]] of statements.entries()) {
      const beganUs = nowUs();
      await run();
      if (time >= 0) tookMs[at]?.push((nowUs() - beganUs) / 1e3);
      await sleep(PAUSE_MS);
    }
  }
  const about = { measure: "statement", system: "ai-job-broker", unit: "ms" };
  return statements.map(([setting], at) => measureOf({ ...about, setting }, tookMs[at] ?? []));
}

/** A claim takes what the dispatch before it has stored, a report ends what was taken. */
function statementsOf({ sql, reserved }: Database): Record<string, () => Promise<unknown>> {
  let count = 0;
  let held: SeatLease[] = [];
  const job = (): NewJob => ({
    ...{ id: `bench-${++count}`, type: JOB_TYPE, payload: JSON.stringify(payloadOf(0)) },
    ...{ tenantId: null, sourceDomain: null, sourceId: null, priority: 0, maxAttempts: 5, runAt: null },
    ...{ idempotencyKey: null, traceparent: null },
  });
  const take = () => ({ types: [], seats: [seat], leaseMs: 60_000, maxBytes: 4_000_000, token: `bench-${++count}` });
  const end = () =>
    report(
      reserved,
      held.map(({ jobId, token }) => ({
        ...{ jobId, token, status: "DONE" as const, result: '{"ok": true}' },
        ...{ error: "", retryable: true, retryDelayMs: null },
      })),
      DEFAULT_BACKOFF,
    );
  return {
    "SELECT 1": () => sql`SELECT 1`,
    "INSERT of one row, no broker": () => sql`INSERT INTO bench_row (payload) VALUES (${payloadOf(0) as never})`,
    "dispatch, the job waits": () => dispatch(sql, [job()]),
    "claim of it for a seat": async () => {
      held = (await claimForSeats(sql, take())).leases;
    },
    "report of it": end,
    "dispatch straight to a seat": async () => {
      held = (await dispatch(sql, [job()], undefined, take())).flatMap(({ lease }) => lease ?? []);
      if (held.length === 0) throw new Error("the job was not handed to the seat");
    },
    "report of that": end,
  };
}
