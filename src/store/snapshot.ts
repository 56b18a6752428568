/** A moment of the database: whose writes were there, and whose were not. */

/** Which transactions had ended at a moment, as pg_current_snapshot() writes it. */
export interface Snapshot {
  xmax: bigint;
  running: ReadonlySet<string>;
  text: string;
}

/** Reads `xmin:xmax:xip,xip…`; null for anything else. */
export function snapshotOf(text: string): Snapshot | null {
  const parts = /^\d{1,20}:(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)$/.exec(text);
  if (parts === null) return null;
  return { xmax: BigInt(parts[1] as string), running: new Set(parts[2]?.split(",").filter(Boolean)), text };
}

/** Whether what this transaction wrote was there at that moment. */
export function sawIn(snapshot: Snapshot, xid: string): boolean {
  return BigInt(xid) < snapshot.xmax && !snapshot.running.has(xid);
}
