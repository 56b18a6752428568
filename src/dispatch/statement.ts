/** How a move runs its statement. */
import { asBrokerError } from "../store/database-errors.ts";
import { retrying } from "../store/retry-statement.ts";

/** Again where Postgres gave it up for another's sake; a database that is away is a known error (DATABASE_DOWN). */
export async function runStatement<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await retrying(run);
  } catch (err) {
    throw asBrokerError(err);
  }
}
