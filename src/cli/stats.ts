/** `stats` */
import type { Command } from "commander";
import { type GetStatsResponse, GetStatsResponseSchema, type TypeStats } from "../gen/aibroker/v1/admin_service_pb.ts";
import { shortDuration } from "../short-duration.ts";
import { withBroker } from "./connection.ts";
import { messageJson, print, printJson, say } from "./output.ts";
import { table } from "./text.ts";

export function addStats(program: Command): void {
  program
    .command("stats")
    .description("Count the pending and running jobs of each type.")
    .option("-a, --all", "count the ended ones too; reads the whole job table, seconds where it holds millions")
    .option("--json", "print the API's answer as JSON")
    .addHelpText("after", "\nExamples:\n  $ ai-job-broker stats\n  $ ai-job-broker stats --all --json")
    .action(async (options: { all?: boolean; json?: boolean }) => {
      const includeEnded = options.all ?? false;
      const answer = await withBroker((broker) => broker.admin.getStats({ includeEnded }));
      if (options.json) printJson(messageJson(GetStatsResponseSchema, answer));
      else if (answer.types.length === 0) say(includeEnded ? "There are no jobs." : "Nothing is pending or running.");
      else print(tableOfStats(answer, includeEnded));
    });
}

const NOW = ["due", "scheduled", "running"] as const;
const ENDED = ["done", "failed", "cancelled"] as const;

function tableOfStats(answer: GetStatsResponse, includeEnded: boolean): string {
  const counts = includeEnded ? [...NOW, ...ENDED] : NOW;
  const rows = answer.types.map((type) => [
    type.type,
    ...counts.map((count) => String(type[count])),
    oldest(type),
    type.paused ? "paused" : "",
  ]);
  const total = counts.map((count) => String(answer.types.reduce((sum, type) => sum + type[count], 0n)));
  if (rows.length > 1) rows.push(["all", ...total, "", ""]);
  return table(["TYPE", ...counts.map((count) => count.toUpperCase()), "OLDEST DUE", ""], rows, process.stdout.columns);
}

function oldest(type: TypeStats): string {
  if (type.oldestDue === undefined) return "";
  return shortDuration(Number(type.oldestDue.seconds) * 1000 + Math.round(type.oldestDue.nanos / 1e6));
}
