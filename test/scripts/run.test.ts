import { expect, test } from "vitest";
import { choose } from "../../scripts/gate/choose.ts";
import { command, runSteps, type Step, summary } from "../../scripts/gate/run.ts";

const good: Step = { name: "good", holds: "nothing", run: async () => ({ ok: true, output: "quiet" }) };
const bad: Step = { name: "bad", holds: "nothing", run: async () => ({ ok: false, output: "what is wrong" }) };
const broken: Step = { name: "broken", holds: "nothing", run: () => Promise.reject(new Error("did not start")) };

test("a step that fails does not stop those behind it", async () => {
  const lines: string[] = [];
  const results = await runSteps([bad, broken, good], (line) => lines.push(line));
  expect(results.map((result) => [result.name, result.ok])).toEqual([
    ["bad", false],
    ["broken", false],
    ["good", true],
  ]);
  expect(lines.join("\n")).toContain("what is wrong");
  expect(lines.join("\n")).toContain("did not start");
  expect(lines.join("\n")).not.toContain("quiet");
});

test("the summary names each step and counts the failed ones", async () => {
  const text = summary(await runSteps([good, bad], () => {}));
  expect(text).toMatch(/good\s+ok/);
  expect(text).toMatch(/bad\s+FAILED/);
  expect(text).toContain("1 of 2 steps FAILED");
});

test("a command's failure carries its output and its exit code", async () => {
  const script = "console.error('the reason'); process.exit(3)";
  const outcome = await command(process.execPath, ["-e", script], { cwd: import.meta.dirname });
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toContain("the reason");
  expect(outcome.output).toContain("exit code 3");
});

test("a command that is not there says to run npm ci", async () => {
  await expect(command("no-such-tool", [], { cwd: import.meta.dirname })).rejects.toThrow("run npm ci first");
});

test("steps are chosen by name, and a wrong name is answered with the right ones", () => {
  const steps = [good, bad, broken];
  expect(choose(steps, { only: "good, bad" }).map((step) => step.name)).toEqual(["good", "bad"]);
  expect(choose(steps, { skip: "bad" }).map((step) => step.name)).toEqual(["good", "broken"]);
  expect(() => choose(steps, { only: "godo" })).toThrow("the steps are good, bad, broken");
  expect(() => choose(steps, { skip: "good,bad,broken" })).toThrow("no step is left");
});
