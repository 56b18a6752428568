/** The last line of a CI run: node scripts/tally.ts GATE.json EXIT_CODE {TESTS.json EXIT_CODE} */
import { existsSync, readFileSync } from "node:fs";
import { gateTally, testTally } from "./gate/tally.ts";

const [gatePath = "", gateCode = "1", ...runs] = process.argv.slice(2);
const tallies = [gateTally(read(gatePath), Number(gateCode))];
for (let at = 0; at < runs.length; at += 2) tallies.push(testTally(read(runs[at] ?? ""), Number(runs[at + 1] ?? "1")));

const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0);
const failed = tallies.reduce((sum, tally) => sum + tally.failed, 0);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function read(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}
