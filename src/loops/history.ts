/** The loop that rolls events up into what happened over time: one broker at a time, a step at a time. */
import type { Sql } from "../store/db.ts";
import { forgetHistory, rollUp } from "../store/history.ts";
import { hasTurn } from "../store/prune.ts";
import type { Loop } from "./loop.ts";

export interface HistoryLoopOptions {
  /** A pool of its own: claims and reports never wait for it. */
  sql: Sql;
  brokerId: string;
}

/** How far behind the numbers are, about. */
const EVERY_MS = 2_000;
/** After a full step, as a multiple of what it took. */
const PAUSE_SHARE = 3;
const FORGET_EVERY_MS = 60_000;
const FORGET_BATCH = 5_000;

export function historyLoops({ sql, brokerId }: HistoryLoopOptions): Loop[] {
  const loop: Loop = {
    name: "history",
    everyMs: EVERY_MS,
    once: async () => {
      loop.everyMs = EVERY_MS;
      if (!(await hasTurn(sql, brokerId))) return;
      const began = performance.now();
      const { more } = await rollUp(sql);
      if (more) loop.everyMs = PAUSE_SHARE * (performance.now() - began);
    },
  };
  const forget: Loop = {
    name: "forget-history",
    everyMs: FORGET_EVERY_MS,
    once: async () => (await hasTurn(sql, brokerId)) && (await forgetHistory(sql, FORGET_BATCH)) === FORGET_BATCH,
  };
  return [loop, forget];
}
