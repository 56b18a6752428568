import { expect, test } from "vitest";
import { gateTally, testTally } from "../../scripts/gate/tally.ts";

const report = (passed: number, failed: number): string =>
  JSON.stringify({ numPassedTests: passed, numFailedTests: failed });

test("tests are counted as vitest counts them", () => {
  expect(testTally(report(7, 0), 0)).toEqual({ passed: 7, failed: 0 });
  expect(testTally(report(5, 2), 1)).toEqual({ passed: 5, failed: 2 });
});

test("a run that failed outside its tests counts as one failure", () => {
  expect(testTally(report(7, 0), 1)).toEqual({ passed: 7, failed: 1 });
  expect(testTally(undefined, 1)).toEqual({ passed: 0, failed: 1 });
});

test("a run of no tests at all is a failure", () => {
  expect(testTally(report(0, 0), 0)).toEqual({ passed: 0, failed: 1 });
  expect(testTally(undefined, 0)).toEqual({ passed: 0, failed: 1 });
});

test("each step of the gate counts as one, and a gate that did not run as a failure", () => {
  expect(gateTally(JSON.stringify([{ ok: true }, { ok: false }, { ok: true }]), 1)).toEqual({ passed: 2, failed: 1 });
  expect(gateTally(JSON.stringify([{ ok: true }]), 0)).toEqual({ passed: 1, failed: 0 });
  expect(gateTally(undefined, 1)).toEqual({ passed: 0, failed: 1 });
});
