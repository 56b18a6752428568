/** Trying a statement again when Postgres gave it up for the sake of another one. */
import { setTimeout as sleep } from "node:timers/promises";

export interface RetryOptions {
  /** How often it is tried in all; 5 unless told. */
  tries?: number;
  /** The first pause; each further one is twice as long, up to maxPauseMs, and each is shortened by chance. */
  pauseMs?: number;
  maxPauseMs?: number;
  /** Which SQLSTATEs are worth another try: by default deadlock, serialization failure and lock timeout. */
  codes?: ReadonlySet<string>;
  /** Told before each further try. */
  onRetry?: (error: unknown, tried: number) => void | Promise<void>;
  signal?: AbortSignal;
}

/** 40P01 deadlock, 40001 serialization failure, 55P03 lock timeout: the statement changed nothing and may go again. */
export const TRANSIENT: ReadonlySet<string> = new Set(["40P01", "40001", "55P03"]);

const UNIQUE_VIOLATION = "23505";

/**
 * Runs a statement that inserts rows which nothing should stand in the way of; where something does, it has changed
 * nothing, and goes once more as the `wary` one, which puts its row in the place of that one. The wary one alone would do,
 * but ON CONFLICT looks for each row in its index before it inserts it, which is a tenth of a claim.
 */
export async function unlessInTheWay<T>(run: (wary: boolean) => Promise<T>): Promise<T> {
  try {
    return await run(false);
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
    return await run(true);
  }
}

/** The SQLSTATE of a failed statement, also when a library has wrapped it; undefined for any other error. */
export function sqlState(error: unknown): string | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const code = (at as Error & { code?: unknown }).code;
    if (typeof code === "string" && /^[0-9A-Z]{5}$/.test(code)) return code;
  }
  return undefined;
}

/**
 * Runs a statement or a whole transaction again while it fails with one of the transient codes. Promises that `run` is
 * called at most `tries` times; the last error is thrown as it came.
 */
export async function retrying<T>(run: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const { tries = 5, pauseMs = 10, maxPauseMs = 1_000, codes = TRANSIENT, onRetry, signal } = options;
  for (let tried = 1; ; tried++) {
    try {
      return await run();
    } catch (error) {
      const code = sqlState(error);
      if (tried >= tries || code === undefined || !codes.has(code) || signal?.aborted) throw error;
      await onRetry?.(error, tried);
      const ceiling = Math.min(maxPauseMs, pauseMs * 2 ** (tried - 1));
      await sleep(ceiling * (0.5 + Math.random() / 2), undefined, { signal });
    }
  }
}
