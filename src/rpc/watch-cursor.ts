/** The cursor of a watch: where its last frame ended, bound to the filter that it was made for. */
import type { WatchPlace } from "../dispatch/watch.ts";
import { type BrokerError, badField } from "../errors.ts";
import type { EventFilter } from "../store/events.ts";
import { snapshotOf } from "../store/snapshot.ts";
import { opened, sealed } from "./opaque-token.ts";

/** The snapshot names each transaction that ran, a few hundred at most. */
const LONGEST = 32_768;
const NUMBER = /^\d{1,20}$/;

/** An opaque text. */
export function watchCursor({ place, snapshot }: WatchPlace, filter: EventFilter): string {
  return sealed([place.xid, place.id, ...(snapshot === null ? [] : [snapshot.text])], filter);
}

/** The place that a cursor stands for. Throws BAD_FIELD for one that is not ours or has another filter. */
export function watchPlace(cursor: string, filter: EventFilter): WatchPlace {
  const read = opened(cursor, filter, LONGEST);
  const at = read === null ? null : placeOf(read.values);
  if (read === null || at === null) throw bad("is not one that WatchJobs gave: send the last one as it came, or none");
  if (!read.fits) throw bad("belongs to a watch with another filter: keep the filter, or start without a cursor");
  return at;
}

function placeOf([xid, id, text, ...more]: unknown[]): WatchPlace | null {
  if (more.length > 0 || typeof xid !== "string" || typeof id !== "string") return null;
  if (!isWithin(xid, 2n ** 64n) || !isWithin(id, 2n ** 63n)) return null;
  const snapshot = text === undefined ? null : snapshotOf(String(text));
  return text !== undefined && snapshot === null ? null : { place: { xid, id }, snapshot };
}

function isWithin(text: string, limit: bigint): boolean {
  return NUMBER.test(text) && BigInt(text) < limit;
}

function bad(message: string): BrokerError {
  return badField("cursor", message);
}
