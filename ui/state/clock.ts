/** The time: one tick for all that counts seconds, and the database's clock, by which leases and ages go. */
import { signal } from "@preact/signals";
import { LEARNT_TO_MS, TICK_MS } from "./grain.ts";

/** How far the database's clock is ahead of this machine's. */
const skewMs = signal(0);
const localMs = signal(Date.now());

setInterval(() => {
  if (!document.hidden) localMs.value = Date.now();
}, TICK_MS);
document.addEventListener("visibilitychange", () => {
  localMs.value = Date.now();
});

/** This machine's clock, to the second. */
export function localNow(): number {
  return localMs.value;
}

/** The database's clock, to the second; who reads it in a component is drawn anew each second. */
export function databaseNow(): number {
  return localMs.value + skewMs.value;
}

/** Learns it from an answer that has just come. */
export function learnDatabaseTime(atMs: number | undefined): void {
  if (atMs === undefined) return;
  const skew = atMs - Date.now();
  if (Math.abs(skew - skewMs.peek()) > LEARNT_TO_MS) skewMs.value = skew;
}
