/** `types`: hold a type of jobs back, and let it go. */
import type { Command } from "commander";
import { PauseTypeResponseSchema, ResumeTypeResponseSchema } from "../gen/aibroker/v1/admin_service_pb.ts";
import { withBroker } from "./connection.ts";
import { messageJson, print, printJson } from "./output.ts";
import { oneLine } from "./text.ts";

export function addTypes(program: Command): void {
  const types = program
    .command("types")
    .description("Hold a type of jobs back, and let it go: pause, resume.")
    .addHelpText("after", "\nExamples:\n  $ ai-job-broker types pause ocr\n  $ ai-job-broker types resume ocr");
  addPause(types);
  addResume(types);
}

function addPause(types: Command): void {
  types
    .command("pause")
    .description("Hand out no more jobs of a type; running ones go on. Pausing twice changes nothing.")
    .argument("<type>", "the job type, for example ocr")
    .option("--reason <text>", "shown to other operators")
    .option("--json", "print the API's answer as JSON")
    .addHelpText("after", '\nExample:\n  $ ai-job-broker types pause ocr --reason "new model is being loaded"')
    .action(async (type: string, options: { reason?: string; json?: boolean }) => {
      const answer = await withBroker((broker) => broker.admin.pauseType({ type, reason: options.reason ?? "" }));
      if (options.json) printJson(messageJson(PauseTypeResponseSchema, answer));
      else print(`${oneLine(type)} is paused; resume it with: ai-job-broker types resume ${oneLine(type)}`);
    });
}

function addResume(types: Command): void {
  types
    .command("resume")
    .description("End a pause. Resuming a type that is not paused changes nothing.")
    .argument("<type>", "the job type, for example ocr")
    .option("--json", "print the API's answer as JSON")
    .addHelpText("after", "\nExample:\n  $ ai-job-broker types resume ocr")
    .action(async (type: string, options: { json?: boolean }) => {
      const answer = await withBroker((broker) => broker.admin.resumeType({ type }));
      if (options.json) printJson(messageJson(ResumeTypeResponseSchema, answer));
      else print(answer.resumed ? `${oneLine(type)} is handed out again` : `${oneLine(type)} was not paused`);
    });
}
