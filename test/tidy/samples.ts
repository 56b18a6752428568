/** A bad sample for each rule that reads one file, so that no rule can go blind unseen. */

export interface Sample {
  rule: string;
  path: string;
  text: string;
  /** Part of the fault; null for a sample that the rule must let pass. */
  fault: string | null;
}

// In two halves, or the rule would find it here.
const NAP = ["pg", "sleep"].join("_");
const lines = (count: number): string => "one();\n".repeat(count);

export const SAMPLES: readonly Sample[] = [
  { rule: "a file has at most 300 lines", path: "src/job/a.ts", text: lines(301), fault: "301 lines" },
  { rule: "a file has at most 300 lines", path: "src/job/a.ts", text: lines(300), fault: null },
  {
    rule: "a function has fewer than 70 lines",
    path: "src/job/a.ts",
    text: `const a = 1;\nfunction f() {\n${lines(68)}}`,
    fault: "a.ts:2: a function of 70 lines",
  },
  { rule: "a function has fewer than 70 lines", path: "src/job/a.ts", text: `f(() => {\n${lines(67)}});`, fault: null },
  {
    rule: "a function has fewer than 70 lines",
    path: "src/job/a.ts",
    text: `class A {\n  m() {\n${lines(80)}}\n}`,
    fault: "82 lines",
  },
  {
    rule: "a function has fewer than 70 lines",
    path: "test/a.ts",
    text: `describe("a", () => {\n${lines(80)}});`,
    fault: null,
  },
  { rule: "console is for the CLI", path: "src/rpc/a.ts", text: "console.log(1);", fault: "console.log" },
  { rule: "console is for the CLI", path: "src/rpc/a.ts", text: 'log("console.log(1)"); // console.log', fault: null },
  { rule: "only config reads the environment", path: "src/cli/a.ts", text: "process.env.HOME;", fault: "process.env" },
  {
    rule: "only config reads the environment",
    path: "src/cli/a.ts",
    text: 'process["env"].HOME;',
    fault: "process.env",
  },
  {
    rule: "only config reads the environment",
    path: "src/cli/a.ts",
    text: 'import { env } from "node:process";',
    fault: "node:process",
  },
  { rule: "intervals are loops", path: "src/rpc/a.ts", text: "setInterval(f, 9);", fault: "setInterval" },
  { rule: "intervals are loops", path: "src/rpc/a.ts", text: "globalThis.setInterval(f, 9);", fault: "setInterval" },
  { rule: "SQL stays in the store", path: "src/rpc/a.ts", text: "await db.sql`VALUES (1)`;", fault: "SQL" },
  { rule: "SQL stays in the store", path: "src/rpc/a.ts", text: 'await sql.unsafe("VALUES (1)");', fault: "SQL" },
  { rule: "SQL stays in the store", path: "src/cli/a.ts", text: 'const q = "DELETE FROM ai_job";', fault: "SQL" },
  { rule: "SQL stays in the store", path: "src/cli/a.ts", text: "f(`SELECT 1\nFROM t`);", fault: "SQL" },
  {
    rule: "SQL stays in the store",
    path: "src/cli/a.ts",
    text: 'log("select one from the list, update it");',
    fault: null,
  },
  { rule: "relative imports end in .ts", path: "src/job/a.ts", text: 'import "./b";', fault: "'./b'" },
  { rule: "relative imports end in .ts", path: "src/job/a.ts", text: 'await import("./b.js");', fault: "'./b.js'" },
  { rule: "relative imports end in .ts", path: "src/job/a.ts", text: 'import "./b.ts"; import "x.y";', fault: null },
  {
    rule: "tests are not switched off or singled out",
    path: "test/a.ts",
    text: 'test.only("a", f);',
    fault: "test.only",
  },
  {
    rule: "tests are not switched off or singled out",
    path: "test/a.ts",
    text: "describe.skip.each([]);",
    fault: "describe.skip",
  },
  { rule: "tests are not switched off or singled out", path: "test/a.ts", text: 'xit("a", f);', fault: "xit" },
  {
    rule: "tests are not switched off or singled out",
    path: "test/a.ts",
    text: "test.skipIf(windows)(f);",
    fault: null,
  },
  {
    rule: "a test asserts something",
    path: "test/a.test.ts",
    text: 'test("a", async () => {\n  await f();\n});',
    fault: "cannot fail",
  },
  {
    rule: "a test asserts something",
    path: "test/a.test.ts",
    text: 'test.each([1])("a", () => g());\nconst f = () => expect(1).toBe(1);',
    fault: "a.test.ts:1",
  },
  {
    rule: "a test asserts something",
    path: "test/a.test.ts",
    text: 'test("a", { timeout: 5 }, () => f());\nfunction f() { expect(1).toBe(1); }',
    fault: null,
  },
  {
    rule: "tests do not sleep",
    path: "test/a.ts",
    text: "await new Promise((r) => setTimeout(r, 5));",
    fault: "a sleep",
  },
  {
    rule: "tests do not sleep",
    path: "test/a.ts",
    text: "new Promise((r) => { setTimeout(() => r(1), 5); });",
    fault: "a sleep",
  },
  {
    rule: "tests do not sleep",
    path: "test/a.ts",
    text: 'import { setTimeout } from "node:timers/promises";',
    fault: "a sleep",
  },
  { rule: "tests do not sleep", path: "test/a.ts", text: `await sql\`SELECT ${NAP}(1)\`;`, fault: "a sleep" },
  { rule: "tests do not sleep", path: "test/a.ts", text: "new Promise((_, no) => setTimeout(no, 5));", fault: null },
  { rule: "nothing is left to do", path: "src/job/a.ts", text: "f();\n// TODO later", fault: "a.ts:2" },
  { rule: "nothing is left to do", path: "src/job/a.ts", text: 'f("TODO later");', fault: null },
  { rule: "file names are kebab-case", path: "src/job/aB.ts", text: "", fault: "'aB.ts'" },
  { rule: "file names are kebab-case", path: "src/some_room/a.ts", text: "", fault: "'some_room'" },
  { rule: "file names are kebab-case", path: "test/store/claim-explain.test.ts", text: "", fault: null },
  { rule: "names say what a thing is", path: "src/job/a.ts", text: "class JobManager {}", fault: "JobManager" },
  { rule: "names say what a thing is", path: "src/job/a.ts", text: "const stringUtils = {};", fault: "stringUtils" },
  { rule: "names say what a thing is", path: "src/job/test-helper.ts", text: "", fault: "test-helper.ts" },
];
