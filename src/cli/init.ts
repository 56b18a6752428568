/** `init`: a project of one's own to begin with. */
import { readdir } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { loadClientConfig } from "../config.ts";
import { CliError } from "./cli-error.ts";
import { readDevFile } from "./dev-file.ts";
import { EXIT } from "./exit-codes.ts";
import { IS_CHECKOUT, LANGUAGES, type Language, projectFiles, writeProject } from "./init/project.ts";
import { print } from "./output.ts";
import { quoted } from "./text.ts";

// npm's own names, and one that could not depend on us.
const RESERVED = ["node_modules", "favicon.ico", "ai-job-broker"];

/** From an empty machine to a worker that waits, within its folder. */
const RUN: Readonly<Record<Language, readonly string[]>> = {
  typescript: ["npm install", "npm start"],
  python: [
    "python3 -m venv .venv && . .venv/bin/activate",
    "pip install -r requirements.txt",
    "sh generate.sh",
    "python3 worker.py",
  ],
};

interface Options {
  type: string;
  language: Language;
}

export function addInit(program: Command): void {
  const init = program
    .command("init")
    .description("Write a small project to begin with: worker.")
    .addHelpText("after", "\nExample:\n  $ ai-job-broker init worker my-worker");
  init
    .command("worker")
    .description("Write a small typed worker that runs, with its own test. Overwrites nothing.")
    .argument("[folder]", "a new or empty folder; its name becomes the package's", "worker")
    .option("--type <name>", "the type of jobs that it does", parseType, "ocr")
    .addOption(new Option("--language <language>", "in which it is written").choices(LANGUAGES).default("typescript"))
    .addHelpText(
      "after",
      `
Examples:
  $ ai-job-broker init worker my-worker
  $ ai-job-broker init worker my-worker --type embedding --language python`,
    )
    .action(async (given: string, options: Options) => print(await initWorker(given, options)));
}

/** Answers with what it wrote and what to do next. */
async function initWorker(given: string, { type, language }: Options): Promise<string> {
  const folder = resolve(given);
  const project = language === "typescript" ? packageName(folder) : basename(folder);
  await refuseFull(folder, given);
  const files = await projectFiles(language, { project, type });
  await writeProject(folder, files);
  const steps = await nextSteps(given, language, type);
  return `Wrote a worker for jobs of the type ${type} to ${given}:\n${indented([...files.keys()])}\n\nNext:\n${steps}`;
}

/** Commands to copy, from this folder on. The worker is told of the data folder, since it runs in another one. */
async function nextSteps(folder: string, language: Language, type: string): Promise<string> {
  const { dataDir } = loadClientConfig();
  const hasBroker = (await readDevFile(dataDir)) !== undefined;
  const lines = [
    ...(hasBroker ? [] : ["npx ai-job-broker dev    # a broker, in another terminal, in this folder"]),
    // No registry need have a checkout's version, so it is packed as npm would get it.
    ...(IS_CHECKOUT && language === "typescript" ? [`npm pack --pack-destination ${quoted(folder)}`] : []),
    `export DATA_DIR=${quoted(dataDir)}`,
    ...(folder === "." ? [] : [`cd ${quoted(folder)}`]),
    ...RUN[language],
  ];
  const job = `npx ai-job-broker dispatch ${type} '{"image_path": "1.png"}' --wait`;
  return `${indented(lines)}\n\nThen, in another terminal, in this folder:\n${indented([job])}`;
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join("\n");
}

function packageName(folder: string): string {
  const name = basename(folder);
  if (/^[a-z0-9][a-z0-9._-]{0,213}$/.test(name) && !RESERVED.includes(name)) return name;
  const rule = "small letters, digits, '-', '_' and '.', and no name that npm or this package has";
  throw new CliError(EXIT.usage, `the folder's name becomes the package's: give one of ${rule}, not '${name}'`);
}

async function refuseFull(folder: string, given: string): Promise<void> {
  const found = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  if (found.length === 0) return;
  const some = `${found.sort().slice(0, 3).join(", ")}${found.length > 3 ? ", …" : ""}`;
  throw new CliError(EXIT.usage, `the folder ${given} is not empty (${some}): name a new one`);
}

function parseType(value: string): string {
  if (/^[A-Za-z0-9][\w.:-]{0,49}$/.test(value)) return value;
  throw new InvalidArgumentError("Give up to 50 letters, digits, '_', '-', '.' and ':', a letter or digit first.");
}
