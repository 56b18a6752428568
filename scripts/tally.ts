/** The last line of a CI run: node scripts/tally.ts TESTS.json EXIT_CODE GATE.json EXIT_CODE */
import { existsSync, readFileSync } from "node:fs";
import { gateTally, testTally } from "./gate/tally.ts";

const [testsPath = "", testsCode = "1", gatePath = "", gateCode = "1"] = process.argv.slice(2);
const tests = testTally(read(testsPath), Number(testsCode));
const gate = gateTally(read(gatePath), Number(gateCode));

const failed = tests.failed + gate.failed;
console.log(`${tests.passed + gate.passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function read(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}
