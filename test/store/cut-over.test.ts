/** docs/cut-over.md, run: every SQL block of the page, in its order, on a Django database. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { openPool, type Sql } from "../../src/store/db.ts";
import { findDrift } from "../../src/store/drift.ts";
import { migrate, schemaState } from "../../src/store/migrate.ts";
import { ADDED } from "../../src/store/migrate-expected.ts";
import { TRIGGER_FUNCTIONS, TRIGGERS } from "../../src/store/triggers.ts";
import { freshDatabase } from "../support/db.ts";
import { django, djangoMigrate } from "../support/django.ts";
import { fingerprint } from "../support/fingerprint.ts";

const PAGE = readFileSync(fileURLToPath(new URL("../../docs/cut-over.md", import.meta.url)), "utf8");
const [held = "", indexes = "", triggers = "", everything = ""] = [...PAGE.matchAll(/```sql\n(.*?)```/gs)].map(
  (block) => block[1],
);

/** One statement at a time, as a person would in psql. */
async function run(sql: Sql, block: string): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = [];
  for (const statement of block.split(/;\n/).filter((text) => text.trim() !== "")) {
    rows.push(...(await sql.unsafe(statement)));
  }
  return rows;
}

test("each step of docs/cut-over.md and its way back work as they stand there", async () => {
  const { url, drop } = await freshDatabase({ empty: true });
  const sql = openPool({ url, statementTimeoutMs: 10_000, lockTimeoutMs: 10_000 }, 1);
  onTestFinished(async () => {
    await sql.end();
    await drop();
  });
  await djangoMigrate(sql);
  const before = await fingerprint(sql);
  await django.dispatch(sql, "j1");
  await django.claim(sql, "old-worker");
  await migrate(url);

  expect(await run(sql, held)).toMatchObject([{ job_id: "j1", locked_by: "old-worker" }]);
  await migrate(url, { finishCutOver: true });

  const finished = await fingerprint(sql);
  await run(sql, indexes);
  const djangoAlone = before.filter((line) => /ai_job_(status_next_run|lease)_idx|fk_ai_job_id/.test(line));
  expect((await fingerprint(sql)).filter((line) => !finished.includes(line))).toEqual(djangoAlone);
  expect(djangoAlone).toHaveLength(3);

  await run(sql, triggers);
  expect((await schemaState(sql)).state).toBe("older");
  await django.dispatch(sql, "j2");
  expect((await migrate(url)).done).toEqual(["triggers", "fill"]);
  expect(await findDrift(sql)).toEqual({ drifts: [], complete: true });

  await sql`UPDATE ai_job SET status = 'CANCELLED', move = move + 1 WHERE job_id = 'j2'`;
  await run(sql, everything);
  expect(await fingerprint(sql)).toEqual(before);
  expect((await schemaState(sql)).state).toBe("django");
  await django.dispatch(sql, "j3");
  expect(await sql`SELECT job_id, status FROM ai_job ORDER BY id`).toMatchObject([
    { job_id: "j1", status: "RUNNING" },
    { job_id: "j2", status: "FAILED" },
    { job_id: "j3", status: "PENDING" },
  ]);

  expect((await migrate(url)).from).toBe("django");
  expect(await findDrift(sql)).toEqual({ drifts: [], complete: true });
});

test("the page names each thing that is to be taken away", () => {
  for (const name of TRIGGERS) expect(triggers).toContain(`DROP TRIGGER IF EXISTS ${name} ON ai_job`);
  for (const name of TRIGGER_FUNCTIONS) expect(everything).toContain(`${name}()`);
  const added = Object.values(ADDED);
  for (const name of added.flatMap(({ columns }) => columns)) expect(everything).toContain(`DROP COLUMN ${name}`);
  const tables = added.flatMap(({ relations }) => relations).filter((name) => !/_(pkey|idx)$/.test(name));
  for (const name of tables) expect(everything).toMatch(new RegExp(`DROP TABLE .*\\b${name}\\b`));
});
