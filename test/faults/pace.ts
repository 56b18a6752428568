/** Times that belong to a scenario: how long a handler works, when the next fault comes. What others do is waited for by `until`. */

/** Resolves after so many ms. */
export function pass(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, ms);
  return promise;
}

/**
 * The clock of the histories, to a ms: µs since 1970 as the machine, and so Postgres, has them. A process' own clock, which nobody
 * sets, ran away from it by milliseconds a minute where the machine's was slewed, and calls began after what they had done.
 */
export function nowUs(): number {
  return Date.now() * 1_000;
}

/** Whether the promise resolves in this time. */
export async function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), ms);
  return await Promise.race([promise.then(() => true), late]).finally(() => clearTimeout(timer));
}
