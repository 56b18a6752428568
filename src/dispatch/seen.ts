/** Which workers called lately, kept in memory and written every few seconds: presence must not cost a write a call. */
import type { Sql } from "../store/db.ts";
import { recordSeen, type SeenWorker } from "../store/workers.ts";

export interface Seen {
  /** Null types: the call named none, so those of its last claim stand. */
  note(workerId: string, types: string[] | null, legacy: boolean): void;
  /** Writes what was noted since the last time; kept for the next time if that fails. */
  flush(sql: Sql): Promise<void>;
}

/** More workers than this between two writes are not remembered; ListWorkers still shows all that hold a lease. */
const MOST = 10_000;

export function createSeen(): Seen {
  let noted = new Map<string, SeenWorker>();
  return {
    note(workerId, types, legacy) {
      const before = noted.get(workerId);
      if (before === undefined && noted.size >= MOST) return;
      noted.set(workerId, { workerId, legacy, types: types ?? before?.types ?? null });
    },
    async flush(sql) {
      if (noted.size === 0) return;
      const batch = noted;
      noted = new Map();
      try {
        await recordSeen(sql, [...batch.values()]);
      } catch (err) {
        noted = new Map([...batch, ...noted].slice(0, MOST));
        throw err;
      }
    },
  };
}
