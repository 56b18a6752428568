/** `ec2`: start the workers' instances by hand. */
import type { Command } from "commander";
import {
  StartStatus,
  StartStatusSchema,
  StartWorkersResponseSchema,
  type StartWorkersResult,
} from "../gen/aibroker/v1/admin_service_pb.ts";
import { withBroker } from "./connection.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { enumName, messageJson, print, printJson } from "./output.ts";
import { oneLine } from "./text.ts";

export function addEc2(program: Command, done: (code: ExitCode) => void): void {
  const ec2 = program
    .command("ec2")
    .description("Start the workers' EC2 instances by hand: start. Nothing here stops one.")
    .addHelpText("after", "\nExample:\n  $ ai-job-broker ec2 start");
  addStart(ec2, done);
}

function addStart(ec2: Command, done: (code: ExitCode) => void): void {
  ec2
    .command("start")
    .description("Start stopped instances now, whether jobs wait or not. One that is up or on its way is left alone.")
    .argument("[ids...]", "of the broker's EC2_WORKER_INSTANCE_IDS; none: all of them")
    .option("--json", "print the API's answer as JSON")
    .addHelpText(
      "after",
      `
Examples:
  $ ai-job-broker ec2 start
  $ ai-job-broker ec2 start i-0f52f9d89481385a8

Exits 3 when one of them neither runs nor is on its way.`,
    )
    .action(async (instanceIds: string[], options: { json?: boolean }) => {
      const answer = await withBroker((broker) => broker.admin.startWorkers({ instanceIds }));
      if (options.json) printJson(messageJson(StartWorkersResponseSchema, answer));
      else for (const result of answer.results) print(words(result));
      done(answer.results.every(({ status }) => UNDER_WAY.has(status)) ? EXIT.ok : EXIT.notDone);
    });
}

const UNDER_WAY: ReadonlySet<StartStatus> = new Set([
  StartStatus.STARTED,
  StartStatus.RUNNING,
  StartStatus.IN_PROGRESS,
]);

function words({ instanceId, status, message }: StartWorkersResult): string {
  return `${oneLine(instanceId)}  ${enumName(StartStatusSchema, status)}  ${oneLine(message)}`;
}
