/** migrate beside a Django at work, beside another migrate, and killed on its way. */
import { expect, onTestFinished, test } from "vitest";
import { openPool, type Sql } from "../../src/store/db.ts";
import { findDrift } from "../../src/store/drift.ts";
import { migrate, schemaState } from "../../src/store/migrate.ts";
import { freshDatabase } from "../support/db.ts";
import { django, djangoMigrate } from "../support/django.ts";
import { fingerprint } from "../support/fingerprint.ts";
import { until } from "../support/until.ts";

interface Given {
  url: string;
  sql: Sql;
  /** What migrate says. */
  lines: string[];
  log: (line: string) => void;
}

async function givenDjango(jobs = 0): Promise<Given> {
  const { url, drop } = await freshDatabase({ empty: true });
  // No statement of Django's may take longer than a lock timeout of migrate's and a little.
  const sql = openPool({ url, statementTimeoutMs: 2_500, lockTimeoutMs: 2_500 }, 4);
  onTestFinished(async () => {
    await sql.end();
    await drop();
  });
  await djangoMigrate(sql);
  await sql`INSERT INTO ai_job (created_at, updated_at, job_id, job_type, status, payload, error_message, attempt_count,
      max_attempts, locked_by, lease_expires_at, next_run_at, last_error)
    SELECT now(), now(), 'j' || n, 'ocr', (ARRAY['PENDING', 'RUNNING', 'DONE', 'FAILED'])[1 + n % 4], '{}', '', 1, 5,
      CASE n % 4 WHEN 1 THEN 'w' END, CASE n % 4 WHEN 1 THEN now() + interval '1 hour' END, now(), ''
    FROM generate_series(1, ${jobs}) n`;
  const lines: string[] = [];
  return { url, sql, lines, log: (line) => void lines.push(line) };
}

/** A transaction that stays open until it is told to end. */
async function holding(sql: Sql, statement: string): Promise<() => Promise<void>> {
  const { promise: end, resolve } = Promise.withResolvers<void>();
  const { promise: held, resolve: onHeld } = Promise.withResolvers<void>();
  const transaction = sql.begin("isolation level repeatable read", async (tx) => {
    await tx.unsafe(statement);
    onHeld();
    await end;
  });
  await Promise.race([held, transaction]);
  return async () => {
    resolve();
    await transaction;
  };
}

test("while a transaction holds a row of ai_job, migrate gives way again and again and Django goes on", async () => {
  const { url, sql, lines, log } = await givenDjango(20);
  const release = await holding(sql, "UPDATE ai_job SET last_error = '' WHERE job_id = 'j1'");
  const migrated = migrate(url, { log });
  let dispatched = 0;
  await until("migrate has given way twice", async () => {
    await django.dispatch(sql, `during-${dispatched++}`);
    await django.claim(sql, "old-worker");
    return lines.some((line) => line.startsWith("try 2"));
  });
  expect(lines.find((line) => line.startsWith("try 1"))).toMatch(
    /held by pid \d+ \(ai-job-broker, idle in transaction/,
  );
  await release();
  expect((await migrated).from).toBe("django");
  expect(await findDrift(sql)).toEqual({ drifts: [], complete: true });
  expect(dispatched).toBeGreaterThan(1);
}, 60_000);

test("an old reading transaction delays the indexes only, and keeps nobody out", async () => {
  const { url, sql, lines, log } = await givenDjango(20);
  // Reads another table, so its snapshot is old, but it holds no lock on ai_job.
  const release = await holding(sql, "SELECT count(*) FROM django_migrations");
  const migrated = migrate(url, { log });
  await until("an index is being built", () =>
    lines.some((line) => line.startsWith("ai_job_idempotency_idx: building")),
  );
  await until("the build waits", async () => {
    const rows = await sql`SELECT FROM pg_stat_activity WHERE query LIKE 'CREATE UNIQUE INDEX CONCURRENTLY%'
      AND datname = current_database() AND wait_event_type = 'Lock'`;
    return rows.length > 0;
  });
  await django.dispatch(sql, "meanwhile");
  expect(await django.claim(sql, "old-worker")).toBe("j4");
  expect(await schemaState(sql)).toMatchObject({
    state: "older",
    detail: expect.stringMatching(/online steps still to be run: ai_job_idempotency_idx.*migrate/),
  });
  await release();
  await migrated;
  expect((await schemaState(sql)).state).toBe("current");
}, 60_000);

test("an index build that is killed leaves an invalid index, which the next run replaces", async () => {
  const { url, sql, lines, log } = await givenDjango(20);
  const release = await holding(sql, "SELECT count(*) FROM django_migrations");
  const killed = migrate(url, { log }).catch((error: unknown) => error);
  await until("the build waits and is killed", async () => {
    const rows = await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE query LIKE 'CREATE UNIQUE INDEX CONCURRENTLY%' AND datname = current_database() AND wait_event_type = 'Lock'`;
    return rows.length > 0;
  });
  expect(await killed).toBeInstanceOf(Error);
  await release();
  expect(await sql`SELECT indisvalid FROM pg_index WHERE indexrelid = 'ai_job_idempotency_idx'::regclass`).toEqual([
    { indisvalid: false },
  ]);
  expect(await migrate(url, { log })).toMatchObject({ from: "older", done: ["ai_job_idempotency_idx"] });
  expect(lines).toContain("ai_job_idempotency_idx: dropping the invalid rest of an interrupted run");
  expect((await schemaState(sql)).state).toBe("current");
}, 60_000);

test("killed after any line that it writes, it comes to the same end when it is run again", async () => {
  const whole = await givenDjango(200);
  await migrate(whole.url, { log: whole.log });
  const expected = await fingerprint(whole.sql);

  for (let stop = 0; stop < whole.lines.length; stop++) {
    const { url, sql } = await givenDjango(200);
    let seen = 0;
    const interrupted = migrate(url, {
      log: () => {
        if (seen++ === stop) throw new Error("killed");
      },
    });
    await expect(interrupted, `line ${stop}`).rejects.toThrow("killed");
    await django.dispatch(sql, "between");
    await django.claim(sql, "old-worker");
    await migrate(url);
    expect(await fingerprint(sql), `line ${stop}: ${whole.lines[stop]}`).toEqual(expected);
    expect(await findDrift(sql)).toEqual({ drifts: [], complete: true });
    expect(await migrate(url)).toMatchObject({ done: [] });
  }
}, 120_000);

test("two at once take turns: one works, the other finds nothing left to do", async () => {
  const { url, sql, lines, log } = await givenDjango(200);
  const release = await holding(sql, "SELECT FROM ai_job FOR UPDATE");
  const first = migrate(url, { log });
  await until("the first is at work", () => lines.some((line) => line.startsWith("try 1")));
  const second = migrate(url, { log });
  await until("the second waits for it", () => lines.includes(WAITING));
  await release();
  expect((await first).done).not.toEqual([]);
  expect((await second).done).toEqual([]);
}, 60_000);

const WAITING = "another migrate is at work on this database; waiting for its end";

test("one that may not wait for the other says so", async () => {
  const { url, sql, lines, log } = await givenDjango();
  const release = await holding(sql, "SELECT FROM ai_job FOR UPDATE; LOCK TABLE ai_job IN ACCESS SHARE MODE");
  const first = migrate(url, { log });
  await until("the first is at work", () => lines.some((line) => line.startsWith("try 1")));
  await expect(migrate(url, { waitMs: 0 })).rejects.toThrow(/another `ai-job-broker migrate` is at work/);
  await release();
  await first;
}, 60_000);

test("the fill is right beside a Django that goes on claiming, failing and finishing", async () => {
  const { url, sql } = await givenDjango(3_000);
  let migrated = false;
  const work = async (worker: string) => {
    for (let n = 0; !migrated; n++) {
      await django.dispatch(sql, `${worker}-${n}`);
      const jobId = await django.claim(sql, worker, n % 3 === 0 ? -1 : 60_000);
      if (jobId === null) continue;
      if (n % 2 === 0) await django.done(sql, jobId);
      else await django.markFailed(sql, jobId, 0);
    }
  };
  const outcome = migrate(url).finally(() => {
    migrated = true;
  });
  await Promise.all([outcome, work("a"), work("b")]);
  expect((await outcome).done).toContain("fill");
  expect(await findDrift(sql)).toEqual({ drifts: [], complete: true });
}, 60_000);

test("triggers that somebody dropped are put back, and what was written without them is found", async () => {
  const { url, sql } = await givenDjango(40);
  await migrate(url);
  await sql`DROP TRIGGER ai_job_put ON ai_job`;
  await django.dispatch(sql, "unseen");
  await sql`DELETE FROM ai_ready`;
  expect(await schemaState(sql)).toMatchObject({ state: "older", detail: expect.stringContaining("triggers, fill") });
  expect((await migrate(url)).done).toEqual(["triggers", "fill"]);
  expect(await findDrift(sql)).toEqual({ drifts: [], complete: true });
});
