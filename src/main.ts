/** Where the process starts. */
import { constants } from "node:os";
import { run } from "./cli.ts";

// A reader that has had enough (`jobs list | head`) is no error; what is left to print goes nowhere.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

// The launcher, where it must stay as our parent (bin/ai-job-broker.js). Killed by force it cannot pass that on, and a
// broker must not go on behind its back: this is the same end.
process.once("disconnect", () => process.exit(128 + constants.signals.SIGKILL));
process.channel?.unref();

process.exitCode = await run(process.argv.slice(2));
