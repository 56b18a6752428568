import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

const script = resolve(import.meta.dirname, "..", "..", ".ci", "run");
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "aibroker-ci-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Outcome {
  passed: number;
  failed: number;
  exit: number;
}

interface Played {
  ci?: number;
  tests: Outcome | null;
  programs?: Outcome;
  gate: { ok: boolean }[] | null;
}

/** Runs .ci/run with an npm that only writes the reports it is told to. */
function play({ ci = 0, tests, programs = { passed: 5, failed: 0, exit: 0 }, gate }: Played): {
  lastLine: string;
  exitCode: number | null;
  calls: string;
} {
  const gateExit = gate?.every((step) => step.ok) ? 0 : 1;
  const npm = `#!/usr/bin/env bash
echo "npm $*"
for arg in "$@"; do case "$arg" in --outputFile.json=*) out="\${arg#*=}" ;; esac; done
case "$1 $2" in
  ci*) exit ${ci} ;;
  test*) ${ending(tests)} ;;
  "run test:programs") ${ending(tests && programs)} ;;
  "run check")
    ${gate === null ? ":" : `echo '${JSON.stringify(gate)}' > "\${@: -1}"`}
    exit ${gateExit} ;;
esac
`;
  writeFileSync(join(folder, "npm"), npm);
  chmodSync(join(folder, "npm"), 0o755);
  const run = spawnSync("bash", [script], {
    encoding: "utf8",
    env: { ...process.env, PATH: `${folder}${delimiter}${process.env["PATH"]}` },
  });
  return { lastLine: run.stdout.trimEnd().split("\n").at(-1) ?? "", exitCode: run.status, calls: run.stdout };
}

/** Shell that writes vitest's report, where there is one, and exits. */
function ending(outcome: Outcome | null): string {
  const report = JSON.stringify({ numPassedTests: outcome?.passed, numFailedTests: outcome?.failed });
  return outcome === null ? "exit 1" : `echo '${report}' > "$out"; exit ${outcome.exit}`;
}

const green = { passed: 40, failed: 0, exit: 0 };

test("a good run ends with the counts of tests and steps, and exits 0", () => {
  const { lastLine, exitCode, calls } = play({ tests: green, gate: [{ ok: true }, { ok: true }] });
  expect(lastLine).toBe("47 passed, 0 failed");
  expect(exitCode).toBe(0);
  expect(calls.match(/^npm test/gm)).toHaveLength(1);
  expect(calls).toMatch(/npm run check -- --skip tidy,tests,programs/);
});

test("a failed test fails the run, and the gate runs all the same", () => {
  const { lastLine, exitCode } = play({ tests: { passed: 39, failed: 1, exit: 1 }, gate: [{ ok: true }] });
  expect(lastLine).toBe("45 passed, 1 failed");
  expect(exitCode).toBe(1);
});

test("a failed test of a whole program fails the run", () => {
  const { lastLine, exitCode } = play({
    tests: green,
    programs: { passed: 4, failed: 1, exit: 1 },
    gate: [{ ok: true }],
  });
  expect(lastLine).toBe("45 passed, 1 failed");
  expect(exitCode).toBe(1);
});

test("a failed step of the gate fails the run", () => {
  const { lastLine, exitCode } = play({ tests: green, gate: [{ ok: true }, { ok: false }] });
  expect(lastLine).toBe("46 passed, 1 failed");
  expect(exitCode).toBe(1);
});

test("a run that leaves no reports is no green one", () => {
  const { lastLine, exitCode } = play({ tests: null, gate: null });
  expect(lastLine).toBe("0 passed, 3 failed");
  expect(exitCode).toBe(1);
});

test("a failed npm ci ends the run with a count, too", () => {
  const { lastLine, exitCode } = play({ ci: 1, tests: green, gate: [] });
  expect(lastLine).toBe("0 passed, 1 failed");
  expect(exitCode).toBe(1);
});
