/** The cursor of a watch: where its last frame ended, bound to the filter that it was made for. */
import { createHash } from "node:crypto";
import type { WatchPlace } from "../dispatch/watch.ts";
import { type BrokerError, badField } from "../errors.ts";
import type { EventFilter } from "../store/events.ts";
import { snapshotOf } from "../store/snapshot.ts";

/** The snapshot names each transaction that ran, a few hundred at most. */
const LONGEST = 32_768;
const NUMBER = /^\d{1,20}$/;

/** An opaque text. */
export function watchCursor({ place, snapshot }: WatchPlace, filter: EventFilter): string {
  const parts = [place.xid, place.id, fingerprint(filter), ...(snapshot === null ? [] : [snapshot.text])];
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/** The place that a cursor stands for. Throws BAD_FIELD for one that is not ours or has another filter. */
export function watchPlace(cursor: string, filter: EventFilter): WatchPlace {
  const read = cursor.length <= LONGEST ? decode(cursor) : null;
  if (read === null) throw bad("is not one that WatchJobs gave: send the last one as it came, or none");
  if (read.fingerprint !== fingerprint(filter)) {
    throw bad("belongs to a watch with another filter: keep the filter, or start without a cursor");
  }
  return read.at;
}

function decode(cursor: string): { at: WatchPlace; fingerprint: string } | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    if (!Array.isArray(value) || value.length < 3 || value.length > 4) return null;
    const [xid, id, mark, text] = value as unknown[];
    if (typeof xid !== "string" || typeof id !== "string" || typeof mark !== "string") return null;
    if (!isWithin(xid, 2n ** 64n) || !isWithin(id, 2n ** 63n)) return null;
    const snapshot = text === undefined ? null : snapshotOf(String(text));
    if (text !== undefined && snapshot === null) return null;
    return { at: { place: { xid, id }, snapshot }, fingerprint: mark };
  } catch {
    return null;
  }
}

function isWithin(text: string, limit: bigint): boolean {
  return NUMBER.test(text) && BigInt(text) < limit;
}

function fingerprint(filter: EventFilter): string {
  return createHash("sha256")
    .update(JSON.stringify(Object.entries(filter).sort()))
    .digest("base64url")
    .slice(0, 16);
}

function bad(message: string): BrokerError {
  return badField("cursor", message);
}
