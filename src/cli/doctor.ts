/** `doctor`: looks at everything a broker needs, and says what to do about what is not well. */
import type { Command } from "commander";
import { pino } from "pino";
import type { Config } from "../config.ts";
import type { Finding } from "../health/finding.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { explain } from "./explain.ts";
import { print, printJson } from "./output.ts";
import { oneLine } from "./text.ts";

export function addDoctor(program: Command, done: (code: ExitCode) => void): void {
  program
    .command("doctor")
    .description(
      "Check settings, runtime, port, database, clock, indexes and drift; each line is ok or says what to do.",
    )
    .option("--json", "print JSON: {findings: [{level, check, detail, advice}]}")
    .addHelpText(
      "after",
      `
It changes nothing. Exits 1 when a line is FAIL; warn lines are worth a look.

Examples:
  $ ai-job-broker doctor
  $ DATABASE_URL=postgres://broker@db/jobs ai-job-broker doctor --json | jq '.findings[] | select(.level != "ok")'`,
    )
    .action(async (options: { json?: boolean }) => {
      const findings = await examine();
      if (options.json) printJson({ findings });
      else for (const finding of findings) print(lineOf(finding));
      done(findings.some((finding) => finding.level === "FAIL") ? EXIT.failed : EXIT.ok);
    });
}

async function examine(): Promise<Finding[]> {
  const checks = await import("./doctor/process-checks.ts");
  const { config, findings } = checks.checkSettings();
  findings.unshift(checks.checkNode());
  if (config === undefined) return findings;
  findings.push(...(await checks.checkTokens(config)), checks.checkExposure(config), await checks.checkPort(config));
  findings.push(...(await examineDatabase(config)));
  return findings;
}

async function examineDatabase(config: Config): Promise<Finding[]> {
  const { startEmbedded, withOneConnection } = await import("./database.ts");
  const { checkDatabase } = await import("../health/database-checks.ts");
  const { fail, ok } = await import("../health/finding.ts");
  const poolSize = config.databasePool + config.databaseReservedPool + 4;
  try {
    if (config.databaseUrl !== undefined)
      return await withOneConnection(config.databaseUrl, (sql) => checkDatabase(sql, { poolSize }));
    if (!(await hasData(config.dataDir)))
      return [ok("database", `an embedded Postgres will be made in ${config.dataDir}`)];
    const embedded = await startEmbedded(config.dataDir, pino({ level: "silent" }));
    try {
      return await withOneConnection(embedded.url, (sql) => checkDatabase(sql, { poolSize }));
    } finally {
      await embedded.stop();
    }
  } catch (error) {
    const { message } = explain(error);
    return [fail("database", message.split("\n")[0] ?? "", "see above; the other database checks were left out")];
  }
}

async function hasData(dataDir: string): Promise<boolean> {
  const { stat } = await import("node:fs/promises");
  const { join } = await import("node:path");
  return await stat(join(dataDir, "postgres")).then(
    () => true,
    () => false,
  );
}

function lineOf(finding: Finding): string {
  const head = `${finding.level.padEnd(4)}  ${finding.check.padEnd(11)}  ${oneLine(finding.detail)}`;
  return finding.advice === undefined ? head : `${head}\n${" ".repeat(19)}→ ${finding.advice}`;
}
