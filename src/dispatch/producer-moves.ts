/** The move of producers: jobs are stored, or handed off at once, and whoever waits for them is told. */

import { countPending } from "../store/pending.ts";
import type * as rows from "../store/rows.ts";
import { createDispatchGatherer } from "./dispatch-gatherer.ts";
import { createHandOff, leasesOf } from "./hand-off.ts";
import type { Moves } from "./moves.ts";
import type { MovesOptions } from "./moves-options.ts";
import { createQueueLimit } from "./queue-limit.ts";
import { NO_RECORDER } from "./recorder.ts";
import { recordedBy, runStatement } from "./statement.ts";
import { traceAll, traceClaimed } from "./trace.ts";

/** How a job comes in. */
export function producerMoves(options: MovesOptions): Pick<Moves, "dispatch"> {
  const { db, waiters, bell, log, record = NO_RECORDER } = options;
  const run = recordedBy(record);
  const queue = createQueueLimit(options.maxPending, (limit) => runStatement(() => countPending(db.sql, limit)));
  const store = createDispatchGatherer(createHandOff({ ...options, sql: db.sql, run }));

  function announce(jobs: rows.NewJob[], stored: rows.Dispatched[]): void {
    const waiting = jobs.filter((_, i) => stored[i]?.created && stored[i].lease === undefined);
    const dueNow = new Map<string, number>();
    let later = false;
    for (const { type, runAt } of waiting) {
      // This broker's clock, since it only decides who is woken early: a look at the queue finds the rest.
      if (runAt === null || runAt.getTime() <= Date.now()) dueNow.set(type, (dueNow.get(type) ?? 0) + 1);
      else later = true;
    }
    for (const [type, count] of dueNow) waiters.arrived(type, count);
    // A later run_at may be nearer than the next look.
    if (later) waiters.lookNow();
    if (waiting.length > 0) bell.ring();
  }

  function write(jobs: rows.NewJob[], stored: rows.Dispatched[]): void {
    const created = jobs.filter((_, i) => stored[i]?.created);
    const change = { to: "PENDING" as const, attempt: 0, durationMs: null };
    traceAll(
      log,
      "dispatch",
      created.map(({ id: jobId, type }) => ({ ...change, jobId, type })),
    );
    traceClaimed(log, leasesOf(stored));
  }

  return {
    async dispatch(jobs) {
      await queue.admit(jobs.length);
      const since = performance.now();
      const stored = await store(jobs);
      announce(jobs, stored);
      record.dispatched(jobs, stored);
      record.claimed(leasesOf(stored), [], performance.now() - since);
      write(jobs, stored);
      return stored;
    },
  };
}
