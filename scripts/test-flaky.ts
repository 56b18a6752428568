/**
 * Runs the tests of whole brokers over a store that fails: `npm run test:flaky`, `-- --share 0.05`, `-- --seed 7`, or with
 * files, for some of them. What is left out is named with its reason, here and by `skipIf(isFlaky)` in the tests.
 */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runVitest } from "./run-vitest.ts";

const ROOT = join(import.meta.dirname, "..");

interface Left {
  why: string;
  is: (path: string, text: string) => boolean;
}

const LEFT_OUT: Left[] = [
  {
    why: "no broker: what one statement answers or refuses is what they are about",
    is: (_, text) => !text.includes("startTestBroker"),
  },
  {
    why: "send the frames of a Work stream by hand, each once; the SDK's workers, who come again, are in test/client",
    is: (_, text) => /\b(openWork(er)?|WorkProcess)\b/.test(text),
  },
  {
    why: "a page, a command or an example shows a person that the database is away, and does not ask again",
    is: (path) => /^test\/(ui|cli|examples|ops)\//.test(path),
  },
  {
    why: "each call is made once, by clients of many makes, and its answer compared",
    is: (path) => /^test\/stories\/(model|walk)\.test\.ts$/.test(path),
  },
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { share: { type: "string", default: "0.02" }, seed: { type: "string", default: "1" } },
});
const share = Number(values.share);
if (!(share > 0 && share < 1)) throw new Error("--share: a number between 0 and 1, for example 0.02");

const files: string[] = [];
const left = new Map(LEFT_OUT.map(({ why }) => [why, 0]));
for (const path of globSync("test/**/*.test.ts", { cwd: ROOT }).sort()) {
  const text = readFileSync(join(ROOT, path), "utf8");
  const out = LEFT_OUT.find(({ is }) => is(path, text));
  if (out === undefined) files.push(path);
  else left.set(out.why, (left.get(out.why) ?? 0) + 1);
}
for (const [why, count] of left) process.stdout.write(`left out ${String(count).padStart(3)}: ${why}\n`);
const chosen =
  positionals.length === 0 ? files : files.filter((path) => positionals.some((part) => path.includes(part)));
process.stdout.write(`${chosen.length} files; ${share * 100} of 100 calls fail, seed ${values.seed}\n`);

process.exitCode = await runVitest(chosen, { FLAKY_STORE: values.share, FLAKY_SEED: values.seed });
