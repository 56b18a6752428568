/** `serve` */
import type { Command } from "commander";
import { configWarnings, listSettings, loadConfig, type Setting } from "../config.ts";
import { packageVersion } from "../version.ts";
import type { ExitCode } from "./exit-codes.ts";
import { createLogger } from "./logger.ts";
import { print } from "./output.ts";

export function addServe(program: Command, done: (code: ExitCode) => void): void {
  program
    .command("serve")
    .description("Run a broker until SIGTERM or Ctrl-C. Prints its address on stdout and JSON log lines on stderr.")
    .addHelpText(
      "after",
      `
Settings, from the environment:
${settingsHelp(listSettings())}

Examples:
  $ INTERNAL_WORKER_TOKEN=w INTERNAL_API_TOKEN=a ai-job-broker serve
  $ DATABASE_URL=postgres://broker@db/jobs HOST=0.0.0.0 TLS_CERT_FILE=c.pem TLS_KEY_FILE=k.pem ai-job-broker serve

The first SIGTERM or Ctrl-C lets calls finish (SHUTDOWN_TIMEOUT_MS), a second ends the process at once.`,
    )
    .action(async () => {
      const config = loadConfig();
      const log = createLogger({ level: config.logLevel, pretty: false });
      for (const warning of configWarnings()) log.warn(warning);
      if (config.workerTokens.length === 0)
        log.warn("INTERNAL_WORKER_TOKEN is not set: workers and the REST endpoints get 503");
      if (config.apiTokens.length === 0) log.warn("INTERNAL_API_TOKEN is not set: nobody can dispatch or look at jobs");
      const { runBroker } = await import("./run-broker.ts");
      done(await runBroker(config, log, ({ url }) => print(`ai-job-broker ${packageVersion()} listening on ${url}`)));
    });
}

/** The settings as `serve --help` lists them, two lines each. */
export function settingsHelp(settings: Setting[]): string {
  return settings.map((one) => `  ${one.env}\n      ${one.about}\n      (${one.allowed}${fallback(one)})`).join("\n");
}

function fallback(setting: Setting): string {
  return setting.fallback === undefined ? "" : `; default ${setting.fallback}`;
}
