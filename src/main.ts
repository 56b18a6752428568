/** Where the process starts. */
import { run } from "./cli.ts";

// A reader that has had enough (`jobs list | head`) is no error; what is left to print goes nowhere.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

process.exitCode = await run(process.argv.slice(2));
