/**
 * Retention: the loops that let old jobs leave. One walks through the oldest jobs, as fast as a quarter of one
 * connection's time allows, ends at jobs that are too young, and comes back a minute later. The other goes through all
 * of them at leisure, for jobs that are older than their place tells (rows that were imported or dated back).
 */
import type { Logger } from "pino";
import type { Sql } from "../store/db.ts";
import { hasTurn, prune, pruneResults, type RetentionMode } from "../store/prune.ts";
import type { Loop } from "./loop.ts";

export interface PruneLoopsOptions {
  /** A pool of its own: claims and reports never wait for it. */
  sql: Sql;
  brokerId: string;
  /** 0: nothing leaves. */
  days: number;
  mode: RetentionMode;
  log: Logger;
}

/** Between two walks through the oldest jobs. */
const REST_MS = 60_000;
/** After a step, as a multiple of what it took. */
const PAUSE_SHARE = 3;
/** After a step that found nothing. */
const IDLE_STEP_MS = 100;
const LEISURE_MS = 2_000;

/** None where nothing is to leave. */
export function pruneLoops(options: PruneLoopsOptions): Loop[] {
  if (options.days === 0) return [];
  const loops = [oldestFirst(options), atLeisure(options)];
  // An archive keeps the results of earlier lives, too.
  return options.mode === "archive" ? loops : [...loops, ofEarlierLives(options)];
}

function oldestFirst(options: PruneLoopsOptions): Loop {
  const { sql, brokerId, days, mode } = options;
  let after: string | null = null;
  let gone = 0;
  const loop: Loop = {
    name: "prune",
    everyMs: REST_MS,
    once: async () => {
      const from = after;
      // Should this run fail, the next one begins anew, and not at once.
      after = null;
      loop.everyMs = REST_MS;
      if (!(await hasTurn(sql, brokerId))) return;
      const began = performance.now();
      const step = await prune(sql, { days, mode, after: from });
      gone += step.gone;
      if (!step.young && step.next !== null) {
        after = step.next;
        loop.everyMs = Math.max(step.gone === 0 ? IDLE_STEP_MS : 0, PAUSE_SHARE * (performance.now() - began));
        return;
      }
      tell(options, gone);
      gone = 0;
    },
  };
  return loop;
}

function atLeisure(options: PruneLoopsOptions): Loop {
  const { sql, brokerId, days, mode } = options;
  let after: string | null = null;
  const loop: Loop = {
    name: "prune-all",
    everyMs: LEISURE_MS,
    once: async () => {
      loop.everyMs = REST_MS;
      if (await hasTurn(sql, brokerId)) {
        const step = await prune(sql, { days, mode, after });
        after = step.next;
        tell(options, step.gone);
      }
      loop.everyMs = LEISURE_MS;
    },
  };
  return loop;
}

function ofEarlierLives({ sql, brokerId, days }: PruneLoopsOptions): Loop {
  return {
    name: "prune-results",
    everyMs: REST_MS,
    once: async () => (await hasTurn(sql, brokerId)) && (await pruneResults(sql, days)).full,
  };
}

function tell({ log, days, mode }: PruneLoopsOptions, jobs: number): void {
  if (jobs > 0) log.info({ jobs, mode }, `retention: jobs that ended more than ${days} days ago have left`);
}
