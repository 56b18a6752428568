/** Times that belong to a scenario: how long a handler works, when the next fault comes. What others do is waited for by `until`. */

/** Resolves after so many ms. */
export function pass(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, ms);
  return promise;
}

/** The clock of the histories: µs since 1970. */
export function nowUs(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1_000);
}

/** Whether the promise resolves in this time. */
export async function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), ms);
  return await Promise.race([promise.then(() => true), late]).finally(() => clearTimeout(timer));
}
