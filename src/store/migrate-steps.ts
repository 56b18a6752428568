/** The steps that take time on a big table. They run online, one by one, after Drizzle's transaction; each can be killed. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Sql } from "./db.ts";
import { type SweepCursor, sweep } from "./drift.ts";
import { retrying } from "./retry-statement.ts";
import { installTriggers, missingTriggers, TRIGGERS_VERSION } from "./triggers.ts";

export type Log = (line: string) => void;

interface Step {
  name: string;
  /** Another one than the database has had: the step runs again. */
  version: string;
  /** What is missing although the step was run; also undoes a false ledger. */
  missing(sql: Sql): Promise<string[]>;
  run(sql: Sql, log: Log): Promise<void>;
}

const BATCH = 2_000;

/** How often a statement that needs ai_job alone is tried: a few minutes in all, at most 0.8 s each time. */
export const PATIENCE = { tries: 60, pauseMs: 200, maxPauseMs: 5_000 };

const triggers: Step = {
  name: "triggers",
  version: TRIGGERS_VERSION,
  missing: async (sql) => (await missingTriggers(sql)).map((name) => `trigger ${name}`),
  run: async (sql, log) => {
    await patiently(sql, log, () =>
      sql.begin(async (tx) => {
        // What was written without triggers has to be looked at once more.
        await tx`DELETE FROM ai_step WHERE name = 'fill'`;
        await installTriggers(tx);
      }),
    );
  },
};

const fill: Step = {
  name: "fill",
  version: "1",
  missing: async () => [],
  run: async (sql, log) => {
    let repaired = 0;
    let again: (SweepCursor | null)[] = [];
    let at: SweepCursor | null = null;
    let batches = 0;
    do {
      const swept = await sweep(sql, { from: at, batch: BATCH });
      if (swept.skipped > 0) again.push(at);
      repaired += swept.repaired;
      if (++batches % 100 === 0) log(`fill: ${batches * BATCH} rows looked at, ${repaired} state rows written`);
      at = swept.next;
    } while (at !== null);
    while (again.length > 0) {
      log(`fill: ${again.length} batches have rows that another transaction holds; trying them again`);
      await sleep(500);
      const held: (SweepCursor | null)[] = [];
      for (const from of again) {
        const swept = await sweep(sql, { from, batch: BATCH });
        repaired += swept.repaired;
        if (swept.skipped > 0) held.push(from);
      }
      again = held;
    }
    log(`fill: ${repaired} state rows written`);
  },
};

/** An index on ai_job that is built without keeping writers out. */
const index = (name: string, definition: string): Step => ({
  name,
  version: "1",
  missing: async (sql) => ((await indexIsValid(sql, name)) === true ? [] : [`index ${name}`]),
  run: (sql, log) => buildIndex(sql, log, name, definition),
});

export const STEPS: Step[] = [
  triggers,
  fill,
  index("ai_job_source_idx", "INDEX CONCURRENTLY ai_job_source_idx ON ai_job (source_domain, source_id)"),
  index(
    "ai_job_idempotency_idx",
    `UNIQUE INDEX CONCURRENTLY ai_job_idempotency_idx ON ai_job ((coalesce(tenant_id, '')), idempotency_key)
     WHERE idempotency_key IS NOT NULL`,
  ),
];

/** Undefined: there is none; false: the rest of an interrupted build. */
async function indexIsValid(sql: Sql, name: string): Promise<boolean | undefined> {
  const [row] = await sql`SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(${name})`;
  return row?.["indisvalid"];
}

/** Builds an index CONCURRENTLY; an invalid one of an interrupted run goes first. */
export async function buildIndex(sql: Sql, log: Log, name: string, definition: string): Promise<void> {
  const valid = await indexIsValid(sql, name);
  if (valid === true) return;
  if (valid === false) {
    log(`${name}: dropping the invalid rest of an interrupted run`);
    await withoutLockTimeout(sql, () => sql.unsafe(`DROP INDEX CONCURRENTLY IF EXISTS ${name}`));
  }
  log(`${name}: building it; this waits for transactions that are older than itself, and keeps nobody out`);
  await withoutLockTimeout(sql, () => sql.unsafe(`CREATE ${definition}`));
}

/**
 * CONCURRENTLY waits for old transactions by locks that stand in nobody's way; a timeout there would only leave an
 * invalid index behind.
 */
export async function withoutLockTimeout<T>(sql: Sql, run: () => Promise<T>): Promise<T> {
  const [row] = await sql`SELECT current_setting('lock_timeout') AS before`;
  await sql`SET lock_timeout = 0`;
  try {
    return await run();
  } finally {
    await sql`SELECT set_config('lock_timeout', ${String(row?.["before"])}, false)`.catch(() => undefined);
  }
}

/** Tries a statement with a short lock timeout again and again, and says who is in the way. */
export async function patiently<T>(sql: Sql, log: Log, run: () => Promise<T>): Promise<T> {
  return retrying(run, {
    ...PATIENCE,
    onRetry: async (_error, tried) => {
      const holders = await sql`SELECT DISTINCT a.pid, a.application_name AS name, a.state,
          extract(epoch FROM now() - a.xact_start)::int AS age
        FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.relation IN (to_regclass('ai_job'), to_regclass('ai_result')) AND l.granted AND a.pid <> pg_backend_pid()
        ORDER BY age DESC NULLS LAST LIMIT 3`;
      const who = holders.map(
        (row) => `pid ${row["pid"]} (${row["name"] || "no name"}, ${row["state"]}, ${row["age"]} s)`,
      );
      log(`try ${tried}: ai_job was not free within the lock timeout; held by ${who.join(", ") || "somebody short"}`);
    },
  });
}

/** Names of what is still to be done; empty when nothing is. */
export async function unfinishedSteps(sql: Sql): Promise<string[]> {
  return (await openSteps(sql)).map((step) => step.name);
}

async function openSteps(sql: Sql): Promise<Step[]> {
  const [table] = await sql`SELECT to_regclass('ai_step') IS NOT NULL AS there`;
  const rows = table?.["there"] ? await sql`SELECT name, version FROM ai_step` : [];
  const done = new Map(rows.map((row) => [row["name"], row["version"]]));
  const open: Step[] = [];
  for (const step of STEPS) {
    if (done.get(step.name) !== step.version || (await step.missing(sql)).length > 0) open.push(step);
  }
  // Triggers that are put in place anew leave behind what was written without them.
  if (open.includes(triggers) && !open.includes(fill)) open.splice(1, 0, fill);
  return open;
}

/** Runs what is still to be done, in order; answers the names. */
export async function runSteps(sql: Sql, log: Log): Promise<string[]> {
  const open = await openSteps(sql);
  if (open.length === 0) return [];
  await sql`CREATE TABLE IF NOT EXISTS ai_step (
    name text PRIMARY KEY, version text NOT NULL, done_at timestamptz NOT NULL DEFAULT now())`;
  for (const step of open) {
    await step.run(sql, log);
    await sql`INSERT INTO ai_step (name, version) VALUES (${step.name}, ${step.version})
      ON CONFLICT (name) DO UPDATE SET version = excluded.version, done_at = now()`;
    log(`step ${step.name}: done`);
  }
  return open.map((step) => step.name);
}
