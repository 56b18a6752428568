/** `jobs`: look at jobs, end them, start them again, move them. */
import type { Command } from "commander";
import type { ExitCode } from "./exit-codes.ts";
import { addJobsCancel } from "./jobs/cancel.ts";
import { addJobsGet } from "./jobs/get.ts";
import { addJobsList } from "./jobs/list.ts";
import { addJobsPriority } from "./jobs/priority.ts";
import { addJobsRelease } from "./jobs/release.ts";
import { addJobsRetry } from "./jobs/retry.ts";

export function addJobs(program: Command, done: (code: ExitCode) => void): void {
  const jobs = program
    .command("jobs")
    .description("Look at jobs, end them, start them again, move them: list, get, cancel, retry, priority, release.")
    .addHelpText("after", "\nExamples:\n  $ ai-job-broker jobs list -s failed\n  $ ai-job-broker jobs get my-own-id");
  addJobsList(jobs);
  addJobsGet(jobs);
  addJobsCancel(jobs, done);
  addJobsRetry(jobs, done);
  addJobsPriority(jobs, done);
  addJobsRelease(jobs, done);
}
