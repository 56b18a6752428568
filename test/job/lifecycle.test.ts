import { expect, test } from "vitest";
import { isLegal, MOVES, type Move } from "../../src/job/lifecycle.ts";
import { isTerminal, STATUSES } from "../../src/job/status.ts";

test("only a retry by hand leaves a terminal state", () => {
  for (const move of Object.keys(MOVES) as Move[]) {
    for (const from of STATUSES.filter(isTerminal)) {
      for (const to of STATUSES.filter((s) => s !== from)) {
        expect(isLegal(move, from, to), `${move}: ${from} → ${to}`).toBe(
          move === "retry" && from !== "DONE" && to === "PENDING",
        );
      }
    }
  }
});

test("a move that does not apply leaves the job as it is", () => {
  expect(isLegal("heartbeat", "PENDING", "PENDING")).toBe(true);
  expect(isLegal("heartbeat", "PENDING", "RUNNING")).toBe(false);
  expect(isLegal("retry", "DONE", "DONE")).toBe(true);
});

test("only a claim begins an attempt", () => {
  for (const move of Object.keys(MOVES) as Move[]) {
    expect(isLegal(move, "PENDING", "RUNNING"), move).toBe(move === "claim");
  }
});
