/** `workers` */
import type { Command } from "commander";
import { ListWorkersResponseSchema, type Worker } from "../gen/aibroker/v1/admin_service_pb.ts";
import { withBroker } from "./connection.ts";
import { messageJson, print, printJson, say } from "./output.ts";
import { table } from "./text.ts";
import { ago } from "./time.ts";

export function addWorkers(program: Command): void {
  program
    .command("workers")
    .description("List the workers that were seen in the last day or hold a job, the latest first.")
    .option("--json", "print the API's answer as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  $ ai-job-broker workers\n  $ ai-job-broker workers --json | jq '.workers[].jobIds'",
    )
    .action(async (options: { json?: boolean }) => {
      const answer = await withBroker((broker) => broker.admin.listWorkers({}));
      if (options.json) printJson(messageJson(ListWorkersResponseSchema, answer));
      else if (answer.workers.length === 0) say("No worker was seen in the last day.");
      else print(tableOfWorkers(answer.workers));
    });
}

/** How many are open, and the jobs that they take together. */
function streamsOf({ streams }: Worker): string {
  if (streams.length === 0) return "";
  return `${streams.length} (${streams.reduce((sum, { maxInFlight }) => sum + maxInFlight, 0)} jobs)`;
}

/** For people; `now` in ms since 1970. */
export function tableOfWorkers(workers: Worker[], now: number = Date.now()): string {
  const rows = workers.map((worker) => [
    worker.workerId,
    worker.legacy ? "REST" : "gRPC",
    streamsOf(worker),
    String(worker.running),
    ago(worker.lastSeenAt, now),
    worker.types.join(",") || "any",
    worker.jobIds.slice(0, 3).join(" ") + (worker.jobIds.length > 3 ? " …" : ""),
  ]);
  return table(["WORKER", "BY", "STREAMS", "RUNNING", "SEEN", "TYPES", "JOBS"], rows, process.stdout.columns);
}
