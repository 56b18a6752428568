/** docs/guarantees.md speaks of tests, cells and rules that there are, and of every cell and rule that there is. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { CELLS } from "../faults/cells/all.ts";
import { NOT_JUDGED, RULES } from "../faults/history/check.ts";
import { parse } from "../tidy/source.ts";
import { evidenceFaults, type Known, testNames, unnamed } from "./evidence.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const PAGE = "docs/guarantees.md";
const page = readFileSync(join(ROOT, PAGE), "utf8");

const known: Known = {
  testsOf: (path) =>
    existsSync(join(ROOT, path)) ? testNames(parse(path, readFileSync(join(ROOT, path), "utf8"))) : undefined,
  cells: CELLS.filter(({ hidden }) => hidden !== true).map(({ name }) => name),
  rules: new Map(RULES.map(({ name, invariant }) => [name, invariant])),
};

test("every test, cell and rule that it names is there", () => {
  expect(evidenceFaults(PAGE, page, known)).toEqual([]);
});

test("it names every cell of the fault programme and every rule of the checker", () => {
  expect(unnamed(page, known)).toEqual([]);
});

test("its table has each invariant once; those that no history can decide are held by tests", () => {
  const rows = Array.from(page.matchAll(/^\| (\d+) \| [^|]+ \| ([^|]+) \|$/gm), ([, number, held = ""]) => ({
    number: Number(number),
    held,
  }));
  expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 17 }, (_, at) => at + 1));
  const byTests = rows.filter(({ held }) => held.startsWith("tests: ")).map(({ number }) => number);
  expect(byTests).toEqual(NOT_JUDGED.map(({ invariant }) => invariant).sort((a, b) => a - b));
});

test.each([
  ['- [test/no.test.ts](../test/no.test.ts): "a"', "p.md:2: no file test/no.test.ts"],
  ['- [test/a.test.ts](../test/b.test.ts): "one"', "p.md:2: the link leads to test/b.test.ts"],
  ['- [test/a.test.ts](../test/a.test.ts): "one", "two"', 'p.md:2: test/a.test.ts has no test "two"'],
  ["- [test/a.test.ts](../test/a.test.ts): one", "p.md:2: reads as no list of tests"],
  ["- Cells: `kill-all` `stop-all`", "p.md:2: no cell 'stop-all'"],
  ["- Cells: kill-all", "p.md:2: reads as no list of cells"],
  ["| 4 | what holds | `never-early` |", "p.md:2: 'never-early' holds invariant 5"],
  ["| 5 | what holds | `never-early` `never-late` |", "p.md:2: the checker has no rule 'never-late'"],
])("a line that names what is not there is found: %s", (line, fault) => {
  const few: Known = {
    testsOf: (path) => (path === "test/a.test.ts" ? ["chapter > one"] : undefined),
    cells: ["kill-all"],
    rules: new Map([["never-early", 5]]),
  };
  expect(evidenceFaults("p.md", `# Page\n${line}`, few)).toEqual([expect.stringContaining(fault)]);
  expect(unnamed(line, few)).toEqual(["kill-all", "never-early"].filter((name) => !line.includes(`\`${name}\``)));
});

test("names are read from tests and chapters in every spelling, and from nothing else", () => {
  const text = `
    describe("a worker", () => {
      test.each([1])("that has %s seats", { timeout: 1 }, () => until("it is there", () => true));
      for (const kind of kinds) test(\`of kind \${kind}\`, async () => undefined);
    });
    plain("alone", () => expect("text").toBe("x"));`;
  expect(testNames(parse("a.test.ts", text))).toEqual([
    "a worker",
    "a worker > that has … seats",
    "a worker > of kind …",
    "alone",
  ]);
});
