/** Waiting for what sends no signal. */
import { setTimeout as sleep } from "node:timers/promises";

/** Asks again and again until the answer is neither undefined nor false; throws after the deadline. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  deadlineMs = 10_000,
): Promise<T> {
  const since = performance.now();
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() - since > deadlineMs) throw new Error(`Waited ${deadlineMs} ms in vain until ${what}.`);
    await sleep(10);
  }
}
