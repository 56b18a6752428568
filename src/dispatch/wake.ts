/** Who waits for jobs, here and on the other brokers, and hears that there are some. */
import type { MovesOptions } from "./moves-options.ts";
import type { Change } from "./trace.ts";

type Ears = Pick<MovesOptions, "waiters" | "bell">;

/** Jobs that went back to PENDING wake who waits for them. */
export function wake({ waiters, bell }: Ears, changes: Change[]): void {
  const ready = changes.filter((c) => c.to === "PENDING" && c.type !== null);
  for (const c of ready) waiters.arrived(c.type as string, 1);
  if (ready.length > 0) bell.ring();
}

/** There may be jobs, and it is not known of which types: the queue is looked at. */
export function lookAgain({ waiters, bell }: Ears): void {
  waiters.lookNow();
  bell.ring();
}
