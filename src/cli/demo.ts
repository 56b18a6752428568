/** `demo`: the main job, worth watching. */
import type { Command } from "commander";
import { EXIT } from "./exit-codes.ts";
import { stopSignals } from "./signals.ts";

export function addDemo(program: Command, done: (code: number) => void): void {
  program
    .command("demo")
    .description(
      "Watch two brokers and four workers read exam sheets; a worker is killed and both brokers are restarted.",
    )
    .option("--plain", "plain lines instead of a live table, as without a terminal")
    .addHelpText(
      "after",
      `
It needs nothing but this package: Postgres, the brokers and the workers run in a temporary folder, on free ports.
Exits 1 when a text is wrong, a job is missing, or anything was lost or done twice.

Examples:
  $ npm run demo
  $ ai-job-broker demo --plain`,
    )
    .action(async (options: { plain?: boolean }) => {
      const signals = stopSignals();
      try {
        const { runDemo } = await import("./demo/demo.ts");
        const plain = options.plain ?? !process.stdout.isTTY;
        const code = await runDemo({ signal: signals.signal, stdout: process.stdout, plain });
        const interrupted = signals.signal.reason === "SIGTERM" ? 143 : 130;
        done(signals.signal.aborted && code === EXIT.ok ? interrupted : code);
      } finally {
        signals.dispose();
      }
    });
}
