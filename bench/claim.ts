/**
 * Does a claim cost the same whatever the backlog? `npm run bench:claim`
 *   -- --rows 1000000    the largest backlog (default: a million)
 *   -- --quick           a tenth of the rows and of the runs, to try it out
 *   -- --json FILE       the figures for a machine, too
 *
 * An embedded Postgres of its own, durable, autovacuum off, analyzed only while its tables are empty: every statistic
 * and every cached plan is stale from then on. Prints a markdown table.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HOT, openPool, type Sql } from "../src/store/db.ts";
import { startEmbeddedPostgres } from "../src/store/embedded.ts";
import { migrate } from "../src/store/migrate.ts";
import { clear, fill } from "./backlog.ts";
import { casesOf } from "./claim-cases.ts";
import { table } from "./claim-report.ts";
import { machineLine } from "./harness/machine.ts";
import { readOptions, wholeFrom } from "./harness/options.ts";
import { type Figures, measure, meet } from "./measure.ts";

const values = readOptions(import.meta.filename, {
  rows: { type: "string" },
  quick: { type: "boolean", default: false },
  json: { type: "string" },
});
const rows = wholeFrom(1_000, "--rows", values.rows ?? (values.quick ? "100000" : "1000000"));
const runs = values.quick ? 30 : 300;

const dataDir = mkdtempSync(join(tmpdir(), "aibroker-bench-"));
const postgres = await startEmbeddedPostgres({ dataDir, durable: true, settings: { autovacuum: "off" } });
try {
  await migrate(postgres.url);
  const sql = openPool({ url: postgres.url, statementTimeoutMs: 600_000, lockTimeoutMs: 5_000 }, 1, HOT);
  const figures = await run(sql).finally(() => sql.end());
  const machine = machineLine(postgres.version);
  console.log(`\n${machine}\n\n${table(figures)}`);
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ machine, rows, runs, figures }, null, 2)}\n`);
} finally {
  await postgres.stop();
  rmSync(dataDir, { recursive: true, force: true });
}

async function run(sql: Sql): Promise<Figures[]> {
  const figures: Figures[] = [];
  for (const { name, backlogs, keep, types, limits } of casesOf(rows)) {
    console.error(`${name} …`);
    if (!keep) {
      await clear(sql);
      // The worst that statistics can be, and a broker's plans are made when its queue is empty, and stay.
      await sql`ANALYZE`;
      for (const taken of [[], types]) await meet(sql, taken);
    }
    for (const backlog of backlogs) await fill(sql, backlog);
    // So that writing the backlog to disk is over before anything is timed.
    await sql`CHECKPOINT`;
    for (const limit of limits) figures.push(await measure(sql, { name, types, limit, runs }));
  }
  return figures;
}
