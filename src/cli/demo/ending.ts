/** The end of the demo: what is checked, and what is told below the picture. */
import { extname } from "node:path";
import type { Account } from "./account.ts";
import type { Seen } from "./board.ts";
import { faultIn } from "./results.ts";
import { normalise, type Sheet } from "./sheets.ts";
import { TYPES } from "./story.ts";
import { type Paint, pad, seconds } from "./text.ts";

/** One line for each job that is missing or whose result is wrong; empty when all is well. */
export function resultFaults(jobs: Seen[], sheets: Sheet[]): string[] {
  return sheets.flatMap((sheet) =>
    TYPES.flatMap((type) => {
      const found = jobs.filter((job) => job.sheet === sheet.name && job.type === type);
      if (found.length !== 1) return [`${type} of ${sheet.name}: ${found.length} jobs where one was dispatched`];
      const fault = faultIn(type, found[0]?.result ?? {}, sheet);
      return fault === undefined ? [] : [`${type} of ${sheet.name}: ${fault}`];
    }),
  );
}

/** What was read, the account, and what to do next. */
export function closingText(jobs: Seen[], sheets: Sheet[], account: Account, elapsedMs: number, paint: Paint): string {
  const texts = sheets.flatMap((sheet) => {
    const read = String(jobs.find((job) => job.sheet === sheet.name && job.type === "ocr")?.result?.["text"] ?? "");
    const lines = read.split("\n").flatMap((line) => normalise(line) || []);
    return lines.map((line, index) => `  ${paint(pad(index === 0 ? sheet.name : "", 9), "bold")}${line}`);
  });
  return [
    "",
    paint("What the workers read, letter for letter what is printed on the sheets:", "bold"),
    ...texts,
    "",
    paint("The account, from the database, the brokers' logs and the workers' own notes, which all agree:", "bold"),
    ...accountLines(account, elapsedMs).map((line) => `${paint("✓", "green")} ${line}`),
    "",
    paint("Try next:", "bold"),
    ...nextSteps().map(
      ([command, about]) => `  ${paint(about ? command.padEnd(59) : command, "cyan")}${paint(about, "dim")}`,
    ),
    "",
  ].join("\n");
}

function accountLines(account: Account, elapsedMs: number): string[] {
  const { jobs, handOuts, failedAttempts, lostLeases, returned, restarts } = account;
  const failed = many(failedAttempts, "failed attempt");
  const lost = many(lostLeases, "lost lease");
  const retries = `${many(account.retries, "retry", "retries")}: ${lost}, ${failed}`;
  const total = `${many(restarts.length, "broker restart")} · ${seconds(elapsedMs)}`;
  const back = returned === 0 ? "" : ` + ${returned} given back unworked`;
  const took = restarts.map(({ broker, tookMs }) => `${broker} in ${seconds(tookMs)}`).join(", ");
  return [
    `${jobs} jobs of ${TYPES.length} types, all DONE · ${retries} · ${total}`,
    `nothing lost: ${many(handOuts, "hand-out")} = ${jobs} done + ${failed} + ${lost}${back}`,
    "nothing done twice: every job was finished by one worker, once, and became DONE once",
    `restarted in the middle of a job that went on: ${took}`,
  ];
}

function many(count: number, noun: string, nouns = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : nouns}`;
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
