/** How a move runs its statement. */
import { asBrokerError } from "../store/database-errors.ts";
import { retrying } from "../store/retry-statement.ts";
import type { Move, Recorder } from "./recorder.ts";

/** Again where Postgres gave it up for another's sake; a database that is away is a known error (DATABASE_DOWN). */
export async function runStatement<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await retrying(run);
  } catch (err) {
    throw asBrokerError(err);
  }
}

/** As runStatement, with the recorder told how long it took. */
export type RunMove = <T>(move: Move, run: () => Promise<T>) => Promise<T>;

export function recordedBy(record: Recorder): RunMove {
  return async (move, run) => {
    record.began(move);
    const since = performance.now();
    try {
      return await runStatement(run);
    } finally {
      record.ended(move, performance.now() - since);
    }
  };
}
