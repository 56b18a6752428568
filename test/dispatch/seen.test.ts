import { expect, test } from "vitest";
import { createSeen } from "../../src/dispatch/seen.ts";
import type { Sql } from "../../src/store/db.ts";

const MOST = 10_000;

/** A database that is away until told, and counts the workers that it is given. */
function given() {
  const state = { away: true, workers: 0 };
  const sql = (async (_: TemplateStringsArray, json: string) => {
    if (state.away) throw new Error("away");
    state.workers += (JSON.parse(json) as unknown[]).length;
  }) as unknown as Sql;
  return { state, sql };
}

test("while the database is away, no more workers are kept than between two writes", async () => {
  const { state, sql } = given();
  const seen = createSeen();
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < MOST; n++) seen.note(`w-${round}-${n}`, [], false);
    const flush = seen.flush(sql);
    for (let n = 0; n < MOST; n++) seen.note(`meanwhile-${round}-${n}`, [], false);
    await expect(flush).rejects.toThrow("away");
  }
  state.away = false;
  await seen.flush(sql);
  expect(state.workers).toBe(MOST);
});
