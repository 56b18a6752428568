/**
 * The one gate: `npm run check`.
 *   npm run check -- --only types,biome     these steps alone
 *   npm run check -- --skip tests           all but these
 *   npm run check -- --json FILE            the outcome of each step, for a machine
 * Exits 0 when every step holds, 1 when one does not, 2 on a wrong option.
 */
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { choose } from "./gate/choose.ts";
import { runSteps, summary } from "./gate/run.ts";
import { gate } from "./gate/steps.ts";

const root = resolve(import.meta.dirname, "..");
const steps = gate(root, process.stdout.isTTY === true);

try {
  const { values } = parseArgs({
    options: { only: { type: "string" }, skip: { type: "string" }, json: { type: "string" } },
  });
  const results = await runSteps(choose(steps, values), (line) => console.log(line));
  console.log(`\n${summary(results)}`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
  process.exitCode = results.every((result) => result.ok) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
