/** The fault programme itself: it runs, it finds what is wrong, and it says so. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Dice } from "./dice.ts";

const MAIN = resolve(import.meta.dirname, "main.ts");

function run(...args: string[]): Promise<{ code: number; said: string; errors: string }> {
  const { promise, resolve: ended } = Promise.withResolvers<{ code: number; said: string; errors: string }>();
  const child = execFile(process.execPath, [MAIN, ...args], (_, said, errors) =>
    ended({ code: child.exitCode ?? -1, said, errors }),
  );
  return promise;
}

test("cells run, hold, and are reported", { timeout: 120_000 }, async () => {
  const out = await mkdtemp(join(tmpdir(), "faults-test-"));
  onTestFinished(() => rm(out, { recursive: true, force: true }));
  const { code, said } = await run("--only", "cut-lines,kill-worker", "--seed", "7", "--out", out);
  expect(said).toContain("ok     kill-worker");
  expect(said).toContain("ok     cut-lines");
  expect(code).toBe(0);
  const report = JSON.parse(await readFile(join(out, "report.json"), "utf8")) as { outcomes: object[] };
  expect(report).toMatchObject({ full: false, skipped: [] });
  expect(report.outcomes).toMatchObject([
    { cell: "kill-worker", seed: 7, lost: 0, repeated: 0, violations: 0 },
    { cell: "cut-lines", seed: 7, lost: 0, repeated: 0, violations: 0 },
  ]);
  expect(await readFile(join(out, "report.md"), "utf8")).toContain("| kill-worker |");
});

test("a planted fault is found: exit code 1, its history, and how to repeat it", { timeout: 120_000 }, async () => {
  const { code, said } = await run("--only", "planted", "--seed", "7");
  expect(said).toContain("BROKEN planted");
  expect(said).toContain("--only planted --seed 7");
  // Which rule is broken first depends on whether its producer had heard of the job, and sends it again.
  expect(said).toMatch(/\(invariant \d+\): .*\n {2}job \S+: .*\n {4}\d\d:\d\d/);
  expect(code).toBe(1);
  const kept = /logs and rows are in (\S+)\.\n/.exec(said)?.[1] ?? "";
  await rm(join(kept, ".."), { recursive: true });
});

test("a wrong option is named, and nothing runs", async () => {
  expect(await run("--only", "no-such-cell")).toMatchObject({
    code: 2,
    errors: expect.stringContaining("no such cell: no-such-cell"),
  });
  expect(await run("--seed", "x")).toMatchObject({ code: 2, errors: expect.stringContaining("--seed") });
  expect(await run("--part", "4/3")).toMatchObject({ code: 2, errors: expect.stringContaining("--part") });
  expect(await run("--strange")).toMatchObject({ code: 2, errors: expect.stringContaining("--strange") });
});

test("the parts of the programme are all of it, each cell once", async () => {
  const listed = async (...args: string[]) => (await run("--list", ...args)).said.trim().split("\n");
  const parts = await Promise.all(["1/3", "2/3", "3/3"].map((part) => listed("--part", part)));
  expect(parts.flat().sort()).toEqual((await listed()).sort());
  expect(Math.max(...parts.map(({ length }) => length))).toBeLessThanOrEqual(10);
});

test("a seed draws the same again, each cell its own", () => {
  const draw = (seed: number, words: string) => {
    const dice = new Dice(seed, words);
    return Array.from({ length: 5 }, () => dice.between(1, 1_000));
  };
  expect(draw(1, "a")).toEqual(draw(1, "a"));
  expect(draw(1, "a")).not.toEqual(draw(1, "b"));
  expect(draw(1, "a")).not.toEqual(draw(2, "a"));
});
