/** The command line: the table of commands, and what becomes of their errors. */
import { Command, CommanderError } from "commander";
import { addDemo } from "./cli/demo.ts";
import { addDev } from "./cli/dev.ts";
import { addDispatch } from "./cli/dispatch.ts";
import { addDoctor } from "./cli/doctor.ts";
import { addEc2 } from "./cli/ec2.ts";
import { EXIT, EXIT_HELP } from "./cli/exit-codes.ts";
import { explain } from "./cli/explain.ts";
import { addHelp, commandOf } from "./cli/help.ts";
import { addInit } from "./cli/init.ts";
import { addJobs } from "./cli/jobs.ts";
import { addMigrate } from "./cli/migrate.ts";
import { say } from "./cli/output.ts";
import { addServe } from "./cli/serve.ts";
import { addStats } from "./cli/stats.ts";
import { addTypes } from "./cli/types.ts";
import { addWatch } from "./cli/watch.ts";
import { addWebhooks } from "./cli/webhooks.ts";
import { addWorkers } from "./cli/workers.ts";
import { packageVersion } from "./version.ts";

/** Runs one command line (without node and script) and answers with its exit code; never throws. */
export async function run(args: string[]): Promise<number> {
  let exitCode: number = EXIT.ok;
  const program = commands((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    const { exitCode: code, message } = explain(error);
    if (message !== "") say(`ai-job-broker: ${message}`);
    const isUsage = error instanceof CommanderError && error.exitCode !== 0 && error.code !== "commander.help";
    if (isUsage) say(`See: ${commandOf(program, args).path} --help`);
    return code;
  }
}

function commands(done: (code: number) => void): Command {
  const program = new Command("ai-job-broker")
    .description("A job broker for AI work on Postgres: gRPC, and REST for legacy workers.")
    .version(packageVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "show help, with examples")
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "ai-job-broker: ")) })
    .exitOverride()
    .addHelpText(
      "after",
      `
First minute:
  $ ai-job-broker demo          watch it work
  $ ai-job-broker dev           run a broker with tokens of its own
  $ ai-job-broker dispatch ocr '{"image_path": "sheets/1.png"}'
  $ ai-job-broker jobs list

dispatch, jobs, watch, workers, stats, types, ec2 and webhooks call the broker at BROKER_URL with BROKER_TOKEN (one of
its INTERNAL_API_TOKEN); unset, they use what \`dev\` left in DATA_DIR. The broker's settings: ai-job-broker serve --help

${EXIT_HELP}`,
    );
  program.commandsGroup("Run it:");
  addServe(program, done);
  addDev(program, done);
  addDemo(program, done);
  addMigrate(program);
  addDoctor(program, done);
  program.commandsGroup("Use it:");
  addDispatch(program, done);
  addJobs(program, done);
  addWatch(program, done);
  addWorkers(program);
  addStats(program);
  addTypes(program);
  addEc2(program, done);
  addWebhooks(program, done);
  addInit(program);
  addHelp(program);
  return program;
}
