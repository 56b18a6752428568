/**
 * Judges a recorded run: `node test/faults/history/main.ts FOLDER`. The folder has the processes' *.jsonl, and
 * rows.jsonl and final.jsonl of the database; options.json, if it is there, says what the run was set to.
 * Exits 0 when no rule is broken, 1 when one is, 2 on input that cannot be judged.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { checkHistory } from "./check.ts";
import { BadInput } from "./lines.ts";
import { readRecords } from "./record.ts";
import { readFinalRows, readVersions } from "./row-history.ts";
import { verdictText } from "./verdict-text.ts";
import { DEFAULTS, type Options } from "./violation.ts";

const OURS = ["rows.jsonl", "final.jsonl"];

/** Prints the verdict and answers the exit code. */
export function judgeFolder(folder: string, print: (text: string) => void): 0 | 1 {
  if (!existsSync(folder)) throw new BadInput(`${folder}: no such folder`);
  const names = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
  const missing = OURS.filter((name) => !names.includes(name));
  if (missing.length > 0)
    throw new BadInput(`${folder}: ${missing.join(" and ")} missing (saveRows of row-history.ts writes them)`);
  const records = names.filter((name) => !OURS.includes(name)).flatMap((name) => readRecords(join(folder, name)));
  if (records.length === 0) throw new BadInput(`${folder}: no process has written a *.jsonl`);
  const rows = {
    versions: readVersions(join(folder, "rows.jsonl")),
    final: readFinalRows(join(folder, "final.jsonl")),
  };
  const verdict = checkHistory(records, rows, readOptions(join(folder, "options.json")));
  print(verdictText(verdict));
  return verdict.violations.length === 0 ? 0 : 1;
}

function readOptions(file: string): Partial<Options> {
  if (!existsSync(file)) return {};
  let given: Record<string, unknown>;
  try {
    given = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  } catch (error) {
    throw Object.assign(new BadInput("options.json: no JSON"), { cause: error });
  }
  const strange = Object.keys(given).filter((key) => !(key in DEFAULTS));
  if (strange.length > 0) throw new BadInput(`options.json: no such option: ${strange.join(", ")}`);
  const { keptKinds } = given;
  return {
    ...(given as Partial<Options>),
    ...(Array.isArray(keptKinds) && { keptKinds: new Set(keptKinds as string[]) }),
  };
}

if (import.meta.main) {
  const [folder, ...rest] = process.argv.slice(2);
  try {
    if (folder === undefined || rest.length > 0) throw new BadInput("usage: node test/faults/history/main.ts FOLDER");
    process.exitCode = judgeFolder(folder, (text) => process.stdout.write(text));
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  }
}
