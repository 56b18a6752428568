/** Adds up what a CI run found. */

export interface Tally {
  passed: number;
  failed: number;
}

/** What vitest's JSON reporter writes, as far as it is read here. */
interface TestReport {
  numPassedTests: number;
  numFailedTests: number;
}

/** Tests of a run. `json` is undefined when there is none; a run that failed never counts as none failed. */
export function testTally(json: string | undefined, exitCode: number): Tally {
  const report = json === undefined ? undefined : (JSON.parse(json) as TestReport);
  const passed = report?.numPassedTests ?? 0;
  const failed = report?.numFailedTests ?? 0;
  const unseen = failed === 0 && (exitCode !== 0 || report === undefined || passed === 0) ? 1 : 0;
  return { passed, failed: failed + unseen };
}

/** Steps of the gate, each counted as one. */
export function gateTally(json: string | undefined, exitCode: number): Tally {
  const steps = json === undefined ? [] : (JSON.parse(json) as { ok: boolean }[]);
  const failed = steps.filter((step) => !step.ok).length;
  const unseen = failed === 0 && (exitCode !== 0 || steps.length === 0) ? 1 : 0;
  return { passed: steps.length - failed, failed: failed + unseen };
}
