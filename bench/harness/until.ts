/** Waits for what another process does. */
import { setTimeout as sleep } from "node:timers/promises";

const LOOK_EVERY_MS = 50;

/** Resolves when it is so; rejects with the fault in words when it is not so in time. */
export async function until(isSo: () => Promise<boolean>, withinMs: number, fault: () => string): Promise<void> {
  const endAt = performance.now() + withinMs;
  while (!(await isSo())) {
    if (performance.now() > endAt) throw new Error(`${fault()} within ${withinMs} ms`);
    await sleep(LOOK_EVERY_MS);
  }
}
