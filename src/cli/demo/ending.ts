/** The end of the demo: what is checked, and what is told below the table. */
import { extname } from "node:path";
import type { Seen } from "./board.ts";
import { faultIn } from "./results.ts";
import { normalise, type Sheet } from "./sheets.ts";
import { TYPES } from "./story.ts";
import { type Paint, pad, seconds } from "./text.ts";

export interface Count {
  jobs: number;
  /** Attempts beyond the first. */
  retries: number;
  failedAttempts: number;
  lostLeases: number;
}

export function countOf(jobs: Seen[], failedAttempts: number): Count {
  const retries = jobs.reduce((sum, job) => sum + job.attempts - 1, 0);
  return { jobs: jobs.length, retries, failedAttempts, lostLeases: retries - failedAttempts };
}

/** One line for each job that is missing or wrong; empty when all is well. */
export function faultsIn(jobs: Seen[], sheets: Sheet[], count: Count): string[] {
  const faults = sheets.flatMap((sheet) =>
    TYPES.flatMap((type) => {
      const found = jobs.filter((job) => job.sheet === sheet.name && job.type === type);
      if (found.length !== 1) return [`${type} of ${sheet.name}: ${found.length} jobs where one was dispatched`];
      const fault = faultIn(type, found[0]?.result ?? {}, sheet);
      return fault === undefined ? [] : [`${type} of ${sheet.name}: ${fault}`];
    }),
  );
  return count.lostLeases > 0 ? faults : [...faults, "a worker was killed, but no lease was lost"];
}

/** What was read, the count, and what to do next. */
export function closingText(jobs: Seen[], sheets: Sheet[], count: Count, elapsedMs: number, paint: Paint): string {
  const texts = sheets.flatMap((sheet) => {
    const read = String(jobs.find((job) => job.sheet === sheet.name && job.type === "ocr")?.result?.text ?? "");
    const lines = read.split("\n").flatMap((line) => normalise(line) || []);
    return lines.map((line, index) => `  ${paint(pad(index === 0 ? sheet.name : "", 9), "bold")}${line}`);
  });
  const types = `${count.jobs} jobs of ${TYPES.length} types, all DONE`;
  const lost = `${count.lostLeases} lost ${count.lostLeases === 1 ? "lease" : "leases"}`;
  const failed = `${count.failedAttempts} failed ${count.failedAttempts === 1 ? "attempt" : "attempts"}`;
  const retries = `${count.retries} ${count.retries === 1 ? "retry" : "retries"}`;
  return [
    "",
    paint("What the workers read, letter for letter what is printed on the sheets:", "bold"),
    ...texts,
    "",
    `${paint("✓", "green")} ${types} · ${retries}: ${lost}, ${failed} · ${seconds(elapsedMs)}`,
    "",
    paint("Try next:", "bold"),
    ...nextSteps().map(
      ([command, about]) => `  ${paint(about ? command.padEnd(59) : command, "cyan")}${paint(about, "dim")}`,
    ),
    "",
  ].join("\n");
}

function nextSteps(): [command: string, about: string][] {
  const start = extname(import.meta.url) === ".ts" ? "npm start" : "npx ai-job-broker dev";
  return [
    [start, "# a broker that stays"],
    [`npx ai-job-broker dispatch embedding '{"texts":["hello"]}'`, "# in a second terminal: a job"],
    ["npx ai-job-broker jobs list", "# where it stands"],
    ["grpcurl -plaintext 127.0.0.1:50051 list", "# by reflection; or, without grpcurl:"],
    ["npx @bufbuild/buf curl --http2-prior-knowledge --list-services http://127.0.0.1:50051", ""],
  ];
}
