/** The commands that README.md and docs/ print are ones that there are, with the options that they have. */
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { runHere } from "../cli/run-cli.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const PAGES = ["README.md", "SECURITY.md", "CONTRIBUTING.md", ...globSync("docs/*.md", { cwd: ROOT }).sort()];
const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { scripts: object };

/** Commands that have commands of their own. */
const GROUPS = ["jobs", "types", "ec2", "webhooks", "init"];

interface Printed {
  /** `page:line` */
  at: string;
  words: string[];
}

/** What stands behind `name` on a page, up to the end of the command: a pipe, a comment, a quote of Markdown. */
function printed(name: string, page: string, text: string): Printed[] {
  return text.split("\n").flatMap((line, at) =>
    Array.from(line.matchAll(new RegExp(`(?:^|[ \`(;])${name} ([^\`|;&#→]+)`, "g")), ([, rest = ""]) => ({
      at: `${page}:${at + 1}`,
      words: rest.trim().split(/\s+/),
    })),
  );
}

const printedAnywhere = (name: string) =>
  PAGES.flatMap((page) => printed(name, page, readFileSync(join(ROOT, page), "utf8")));

/** What is wrong with a command. */
async function faultsOf({ at, words }: Printed): Promise<string[]> {
  const command = words.slice(0, GROUPS.includes(words[0] ?? "") ? 2 : 1).filter((word) => /^[a-z0-9]+$/.test(word));
  const { code, stdout } = await runHere(["help", ...command]);
  if (code !== 0) return [`${at}: no command '${command.join(" ")}'`];
  const options = words.filter((word) => /^--?[a-z]/.test(word)).map((word) => word.replace(/=.*/, ""));
  return options
    .filter((option) => !new RegExp(`(^|[\\s,])${option}\\b`, "m").test(stdout))
    .map((option) => `${at}: '${command.join(" ")}' has no option ${option}`);
}

test("each ai-job-broker command is there and takes its options", async () => {
  const commands = printedAnywhere("ai-job-broker").filter(({ words }) => /^[a-z][a-z0-9]*$/.test(words[0] ?? ""));
  expect(commands.length).toBeGreaterThan(60);
  const faults = [];
  for (const command of commands) faults.push(...(await faultsOf(command)));
  expect(faults).toEqual([]);
});

test("each npm script is there", () => {
  const named = printedAnywhere("npm run");
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter(({ words }) => !(String(words[0]?.replace(/[^a-z:-].*/, "")) in scripts))).toEqual([]);
});

test.each([
  ["npx ai-job-broker stat   # now", "a.md:1: no command 'stat'"],
  ["say `ai-job-broker jobs lst ID`", "a.md:1: no command 'jobs lst'"],
  ["npx ai-job-broker jobs list --since=-1h --tpye ocr | jq", "a.md:1: 'jobs list' has no option --tpye"],
  ["A=b npx ai-job-broker watch -t ocr; ai-job-broker watch -x", "a.md:1: 'watch' has no option -x"],
])("a command that is wrong is found: %s", async (text, fault) => {
  const faults = [];
  for (const command of printed("ai-job-broker", "a.md", text)) faults.push(...(await faultsOf(command)));
  expect(faults).toEqual([fault]);
});
