/** One watcher: what it missed is read for it, then it is told with all others. */
import { BrokerError } from "../errors.ts";
import type { Sql } from "../store/db.ts";
import {
  type Bound,
  comparePlaces,
  type EventFilter,
  type EventPage,
  type EventPlace,
  eventHorizon,
  eventsAfter,
  eventsNow,
  type JobEvent,
  laterOf,
  matches,
} from "../store/events.ts";
import { type Snapshot, sawIn } from "../store/snapshot.ts";
import { EventTail, type Joined, PAGE } from "./event-tail.ts";
import { runStatement } from "./statement.ts";

/** A place in the events, and for a while the moment of the state that was told before. */
export interface WatchPlace {
  place: EventPlace;
  /** Events that it shows are not told; null: none is left out. */
  snapshot: Snapshot | null;
}

export interface WatchUpdate extends WatchPlace {
  /** Empty: nothing happened, and the place has moved on. */
  events: JobEvent[];
}

export interface Watcher {
  filter: EventFilter;
  from: WatchPlace;
  /** False: it has no room for this now; it is told no more, and has to come again from its place. */
  tell: (update: WatchUpdate) => boolean;
}

export interface Watches {
  /**
   * Tells the watcher of each event that fits behind its place, in order and once, until it leaves or has no room;
   * resolves when it is up to date or has none. Throws CURSOR_EXPIRED when events behind the place are gone.
   */
  watch(watcher: Watcher): Promise<{ leave(): void }>;
  /** Where a watcher begins that wants no state. */
  now(): Promise<WatchPlace>;
  /** Events were written here. */
  nudge(): void;
  stop(): Promise<void>;
}

export interface WatchesOptions {
  sql: Sql;
  pollMs: number;
  onError: (err: unknown) => void;
}

/** Reads a page for one watcher. */
type Look = (at: WatchPlace, filter: EventFilter, upTo?: Bound) => Promise<{ page: EventPage; update: WatchUpdate }>;

export function createWatches({ sql, pollMs, onError }: WatchesOptions): Watches {
  const tail = new EventTail({
    read: (after, limit, patiently) => eventsAfter(sql, after, limit, {}, patiently ? "database" : "quick"),
    now: async () => (await eventsNow(sql)).place,
    pollMs,
    onError,
  });

  const look: Look = (at, filter, upTo = "quick") =>
    runStatement(() => eventsAfter(sql, at.place, PAGE, filter, upTo)).then((page) => ({
      page,
      update: next(page, at.snapshot),
    }));

  /** The pages that are full; null when it is told no more. */
  async function tellBacklog({ filter, from, tell }: Watcher): Promise<WatchPlace | null> {
    for (let at = from; ; ) {
      const { page, update } = await look(at, filter);
      if (!page.more) return at;
      if (update.events.length > 0 && !tell(update)) return null;
      at = update;
    }
  }

  return {
    async watch(watcher) {
      await refuseExpired(sql, watcher.from.place);
      const from = await tellBacklog(watcher);
      if (from === null) return { leave: () => undefined };
      // Joined before the rest is read, so that nothing falls between; what comes meanwhile waits.
      const waiting: EventPage[] = [];
      let live: ((page: EventPage) => void) | undefined;
      const joined = await runStatement(() =>
        tail.join((page) => (live === undefined ? waiting.push(page) : live(page))),
      );
      try {
        live = await tellRest({ ...watcher, from }, joined, look);
      } catch (err) {
        joined.leave();
        throw err;
      }
      for (const page of waiting) live(page);
      return { leave: joined.leave };
    },
    now: () => runStatement(() => eventsNow(sql)),
    nudge: () => tail.nudge(),
    stop: () => tail.stop(),
  };
}

/** Tells what lies between the watcher's place and where the tail goes on, and answers what takes the tail's pages. */
async function tellRest(
  { filter, from, tell }: Watcher,
  joined: Joined,
  look: Look,
): Promise<(page: EventPage) => void> {
  const upTo = joined.from;
  let at = from;
  let reads = true;
  while (reads && comparePlaces(at.place, upTo) < 0) {
    const { update } = await look(at, filter, upTo);
    if (update.events.length > 0) reads = tell(update);
    at = update;
  }
  // Its cursor may be from a broker that is further.
  const start = comparePlaces(from.place, upTo) > 0 ? from.place : upTo;
  let { snapshot } = at;
  return (page) => {
    if (!reads) return joined.leave();
    const fitting = page.events.filter((e) => comparePlaces(e.place, start) > 0 && matches(filter, e));
    const update = next({ ...page, events: fitting, upTo: laterOf(page.upTo, start) }, snapshot);
    snapshot = update.snapshot;
    reads = tell(update);
    if (!reads) joined.leave();
  };
}

/** Without what the state has shown; the snapshot goes when nothing behind the place can be in it. */
function next(page: EventPage, snapshot: Snapshot | null): WatchUpdate {
  if (snapshot === null) return { events: page.events, place: page.upTo, snapshot };
  const events = page.events.filter((event) => !sawIn(snapshot, event.place.xid));
  return { events, place: page.upTo, snapshot: BigInt(page.toldXid) >= snapshot.xmax ? null : snapshot };
}

async function refuseExpired(sql: Sql, place: EventPlace): Promise<void> {
  const horizon = await runStatement(() => eventHorizon(sql));
  if (horizon === null || comparePlaces(place, horizon) >= 0) return;
  throw new BrokerError(
    "CURSOR_EXPIRED",
    "cursor: events behind it have been removed for their age (EVENT_RETENTION_DAYS): call without a cursor, which " +
      "begins with the state of now",
    { field: "cursor" },
  );
}
