/** What an error of Postgres or of its connection means for the caller: wait, mend the input, or report a bug. */
import { BrokerError } from "../errors.ts";

/** When the caller may try again after the database was away or busy. */
const RETRY_AFTER_MS = 1_000;

/** postgres.js and the socket: a connection was lost, maybe with a statement on it. */
const CUT_CODES = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
]);

/** The same and the name service: none was made, or it had been ended before, so nothing was sent. */
const UNMADE_CODES = new Set([
  "CONNECT_TIMEOUT",
  "CONNECTION_CONNECT_TIMEOUT",
  "CONNECTION_ENDED",
  "TLS_FAILED",
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EHOSTDOWN",
  "ENETDOWN",
  "ENOTFOUND",
  "EAI_AGAIN",
]);

/** SQLSTATEs of a server that cannot serve now: shut down, starting, full, failed over, or not letting us in. */
const AWAY_STATES = new Set(["57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25006", "28000", "28P01", "3D000"]);
/** Classes of the same kind: 08 connection, 53 resources (too many connections, disk full), 58 system. */
const AWAY_CLASSES = new Set(["08", "53", "58"]);

/** It answered, but not in time, or stood in the way of another statement. */
const BUSY_STATES = new Set(["57014", "55P03", "40001", "40P01"]);

/** Values that a column or jsonb refuses. */
const VALUE_STATES = new Map([
  ["22P02", "is not valid text for its type"],
  ["22P05", "holds a character that the database cannot store (\\u0000 is one)"],
  ["22021", "holds bytes that are not valid UTF-8"],
  ["22001", "is too long"],
  ["22003", "is a number out of range"],
  ["22007", "is not a valid time"],
  ["22008", "is a time out of range"],
  ["22030", "has the same JSON key twice"],
  ["22032", "is not valid JSON"],
  ["54000", "is larger than a JSON value in the database may be"],
  ["54001", "is nested too deeply"],
]);

/**
 * Turns an error of the database into the BrokerError that it means: DATABASE_DOWN (away or too slow, with
 * retryAfterMs) or BAD_FIELD (a value that it refuses). Any other value comes back unchanged: it is a bug, or was
 * classified before. Looks through `cause`, where Drizzle keeps the database's own error.
 */
export function asBrokerError(err: unknown): unknown {
  for (const link of causes(err)) {
    if (link instanceof BrokerError) return link;
    const meant = meaning(link);
    if (meant !== undefined) return meant;
  }
  return err;
}

/** Whether a statement that failed so may have been committed all the same: it was sent, and its answer never came. */
export function mayHaveHappened(err: unknown): boolean {
  const chain = causes(err);
  const last = chain.at(-1) as (Error & { code?: unknown }) | undefined;
  if (last instanceof BrokerError) return false;
  // Postgres' word that it failed; but so does a pooler tell, in its own name, that it has lost Postgres' answer.
  if (last?.name === "PostgresError") return String(last.code).startsWith("08");
  return !chain.some(isUnmade);
}

function isUnmade(err: Error): boolean {
  const { code, syscall } = err as Error & { code?: unknown; syscall?: unknown };
  // A Unix socket whose server is gone, or which may not be opened; only a connect makes these two ours.
  return UNMADE_CODES.has(code as string) || ((code === "ENOENT" || code === "EACCES") && syscall === "connect");
}

function meaning(err: Error): BrokerError | undefined {
  const { code } = err as Error & { code?: unknown };
  if (typeof code !== "string") return undefined;
  if (CUT_CODES.has(code) || isUnmade(err)) return away(code, err);
  if (!/^[0-9A-Z]{5}$/.test(code) || err.name !== "PostgresError") return undefined;
  if (AWAY_STATES.has(code) || AWAY_CLASSES.has(code.slice(0, 2))) return away(code, err);
  // A standby that is asked to write has 25006 for most of it, and this where only a number for it is wanted.
  if (code === "XX000" && err.message.includes("during recovery")) return away(code, err);
  if (BUSY_STATES.has(code)) return busy(code, err);
  const fault = VALUE_STATES.get(code);
  if (fault === undefined) return undefined;
  return new BrokerError("BAD_FIELD", `a value of the request ${fault}; the database refused it (${code})`, {
    cause: err,
  });
}

// Neither says where the database is: host and user are the operator's, not the caller's.
function away(code: string, cause: Error): BrokerError {
  const text = `the database cannot be reached (${code}); try again, the call may or may not have taken effect`;
  return new BrokerError("DATABASE_DOWN", text, { retryAfterMs: RETRY_AFTER_MS, cause });
}

function busy(code: string, cause: Error): BrokerError {
  const text = `the database did not finish in time (${code}) and nothing was changed; try again`;
  return new BrokerError("DATABASE_DOWN", text, { retryAfterMs: RETRY_AFTER_MS, cause });
}

/** The error, its cause, and so on; at most a few, since a chain may bite its tail. */
function causes(err: unknown): Error[] {
  const chain: Error[] = [];
  for (let link = err; link instanceof Error && chain.length < 8; link = link.cause) chain.push(link);
  return chain;
}
