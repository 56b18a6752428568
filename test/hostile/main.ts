/**
 * The hostile tests in full, one after the other, and a report of their figures: `npm run hostile`
 *   node test/hostile/main.ts                 every one
 *   node test/hostile/main.ts http1 -t slow   some, with the words that vitest takes
 * HOSTILE_REPORT names the folder of the report, hostile.md; a run of all has docs/proof when nothing is named. Give it a
 * machine that does nothing else: times are judged here.
 */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { filesAllowed } from "./size.ts";

const ROOT = resolve(import.meta.dirname, "../..");
/** For ten thousand connections at one process, with all that it has open beside them. */
const FILES = 16_384;

const some = process.argv.slice(2);
const folder = process.env["HOSTILE_REPORT"] ?? (some.length === 0 ? join(ROOT, "docs/proof") : undefined);
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const narrowed = some.some((word) => !word.startsWith("-")) ? some : ["test/hostile", ...some];
const command = [
  ...[process.execPath, vitest, "run", "--project=programs", "--maxWorkers=1", ...narrowed],
  ...["--reporter=verbose", ...(folder === undefined ? [] : ["--reporter=./test/hostile/report.ts"])],
];
const env = { ...process.env, HOSTILE: "full", ...(folder === undefined ? {} : { HOSTILE_REPORT: folder }) };
const { status } = spawnSync("sh", ["-c", `${raised()} exec "$@"`, "sh", ...command], {
  cwd: ROOT,
  env,
  stdio: "inherit",
});
process.exitCode = status ?? 1;

/** Node has raised its own limit as far as it may; a shell of root may raise it further. */
function raised(): string {
  return filesAllowed() >= FILES
    ? ""
    : `ulimit -n ${FILES} || echo "the crowds are skipped: ulimit -n is too low" >&2;`;
}
