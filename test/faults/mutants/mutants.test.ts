/** The list of mutants follows the code; what a run of them finds is for `npm run faults:mutants`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "../../tidy/source.ts";
import { CELLS } from "../cells/all.ts";
import { RULES } from "../history/check.ts";
import { MUTANTS } from "./all.ts";
import { judged } from "./hunt.ts";
import { BadPatch, type Mutant, mutated } from "./mutant.ts";
import { PROJECT } from "./scratch.ts";

const MUTANT: Mutant = {
  name: "m",
  about: "it is wrong",
  file: "src/a.ts",
  edits: [["one", "two"]],
  cell: "kill-worker",
  rules: ["leases-never-overlap", "deliveries-grow"],
};

describe("each mutant", () => {
  test.each(MUTANTS)("$name fits the code, and what it leaves can be parsed", (mutant) => {
    const text = readFileSync(join(PROJECT, mutant.file), "utf8");
    const after = mutated(text, mutant);
    expect(after).not.toBe(text);
    expect(() => parse(mutant.file, after)).not.toThrow();
  });

  test.each(MUTANTS)("$name names a cell and rules that there are", ({ cell, rules }) => {
    expect(CELLS.map(({ name }) => name)).toContain(cell);
    expect(RULES.map(({ name }) => name)).toEqual(expect.arrayContaining([...rules]));
    expect(rules).not.toHaveLength(0);
  });

  test("has a name of its own", () => {
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  });
});

test("a text that is not there, or twice, is refused with its file", () => {
  expect(mutated("one", MUTANT)).toBe("two");
  for (const text of ["three", "one one"]) {
    expect(() => mutated(text, MUTANT)).toThrow(BadPatch);
    expect(() => mutated(text, MUTANT)).toThrow(/src\/a\.ts must have this text just once.*: one/);
  }
});

test("only one of its own rules catches a mutant", () => {
  const broken = ["every-job-ends", "deliveries-grow"].map((rule) => ({ rule, job: "j", what: "so" }));
  const report = { cell: "kill-worker", faultsFound: [], broken };
  const rules = ["every-job-ends", "deliveries-grow"];
  expect(judged(MUTANT, report, "")).toEqual({ rule: "deliveries-grow", what: "job j: so", rules, faultsFound: [] });
  const other = { ...report, faultsFound: ["no job has ended"], broken: broken.slice(0, 1) };
  expect(judged(MUTANT, other, "")).toMatchObject({ rule: undefined, faultsFound: ["no job has ended"] });
  expect(judged(MUTANT, undefined, "it does not start")).toMatchObject({
    rule: undefined,
    faultsFound: ["it does not start"],
  });
});
