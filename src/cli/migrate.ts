/** `migrate` */
import type { Command } from "commander";
import { loadConfig } from "../config.ts";
import { createLogger } from "./logger.ts";
import { print, printJson, say } from "./output.ts";

export function addMigrate(program: Command): void {
  program
    .command("migrate")
    .description("Bring the database of DATABASE_URL to the current schema; an empty and a Django-made one too.")
    .option(
      "--finish-cut-over",
      "also drop Django's two claim indexes and the foreign key of results, once Django claims no more (docs/cut-over.md)",
    )
    .option("--json", "print JSON: {from, done, detail}")
    .addHelpText(
      "after",
      `
Running it again changes nothing. A database that differs from what it expects is refused, with what differs, and left
as it is. Without DATABASE_URL it is the embedded Postgres under DATA_DIR, which serve migrates by itself.

Example:
  $ DATABASE_URL=postgres://broker@db/jobs ai-job-broker migrate`,
    )
    .action(async (options: { finishCutOver?: boolean; json?: boolean }) => {
      const config = loadConfig();
      const { explainDatabase, startEmbedded } = await import("./database.ts");
      const { migrate } = await import("../store/migrate.ts");
      const log = createLogger({ level: config.logLevel === "info" ? "warn" : config.logLevel, pretty: false });
      const embedded = config.databaseUrl === undefined ? await startEmbedded(config.dataDir, log) : undefined;
      const url = config.databaseDirectUrl ?? config.databaseUrl ?? embedded?.url ?? "";
      try {
        const outcome = await migrate(url, { log: say, finishCutOver: options.finishCutOver ?? false });
        if (options.json) printJson(outcome);
        else print(outcome.detail);
      } catch (error) {
        throw explainDatabase(error, url);
      } finally {
        await embedded?.stop();
      }
    });
}
