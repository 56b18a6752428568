/**
 * The store beside a small pure model of what it promises. MODEL_RUNS=2000 searches longer; a failure prints the shortest
 * history that it found.
 */
import fc from "fast-check";
import { expect } from "vitest";
import { test } from "../support/db.ts";
import { Model } from "../support/model.ts";
import { histories } from "./model-histories.ts";

const RUNS = Number(process.env["MODEL_RUNS"] ?? 25);

test(
  "any history of moves answers and leaves what the model says",
  async ({ db }) => {
    await fc.assert(
      histories(db, () => new Model()),
      { numRuns: RUNS, endOnFailure: false },
    );
  },
  60_000 + RUNS * 1_000,
);

/** It counts no attempt of a call's claim. */
class WrongModel extends Model {
  override claim(...args: Parameters<Model["claim"]>): ReturnType<Model["claim"]> {
    const taken = super.claim(...args);
    for (const [, job] of taken) job.attempts -= 1;
    return taken;
  }
}

test("where store and model differ, the history is cut down to the steps that show it", async ({ db }) => {
  const found = await fc.check(
    histories(db, () => new WrongModel()),
    { numRuns: 50, seed: 7 },
  );
  expect(found.failed).toBe(true);
  const [dispatched, claimed, more] = found.counterexample?.[0] ?? [];
  expect(String(fc.stringify(dispatched))).toContain("dispatch(");
  expect(String(fc.stringify(claimed))).toContain("claim(");
  expect(more?.length).toBeLessThanOrEqual(1);
}, 60_000);
