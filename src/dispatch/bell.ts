/**
 * Tells the other brokers of this database that jobs have become due. NOTIFY takes a lock that all commits share, so it
 * is rung at most once per gap, never inside a move; a lost ring costs up to one poll, never a job.
 */
import type { Sql } from "../store/db.ts";
import { listen, notify } from "../store/notify.ts";

export interface Bell {
  /** At once, or at the end of the gap that the last ring began. */
  ring(): void;
  stop(): Promise<void>;
}

export interface BellOptions {
  sql: Sql;
  /** For LISTEN. */
  direct: Sql;
  /** This broker's name: its own rings are not news to it. */
  instanceId: string;
  gapMs: number;
  /** Another broker rang, or the line was down and may have missed a ring. */
  onRing: () => void;
  onError: (err: unknown) => void;
}

export function createBell(options: BellOptions): Bell {
  let gap: NodeJS.Timeout | undefined;
  let again = false;
  let stopped = false;
  const line = listen(
    options.direct,
    "ai_ready",
    (from) => from !== options.instanceId && !stopped && options.onRing(),
    options.onRing,
  );
  line.catch(options.onError);

  function send(): void {
    again = false;
    gap = setTimeout(() => {
      gap = undefined;
      if (again && !stopped) send();
    }, options.gapMs);
    gap.unref();
    notify(options.sql, "ai_ready", options.instanceId).catch(options.onError);
  }

  return {
    ring() {
      if (stopped) return;
      if (gap === undefined) send();
      else again = true;
    },
    async stop() {
      stopped = true;
      clearTimeout(gap);
      // Not waited for: one that broke may never answer, and the end of its pool ends it.
      line.then((unlisten) => unlisten()).catch(() => undefined);
    },
  };
}
