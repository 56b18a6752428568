/**
 * The rows of streams as sessions write them. Many workers connect, leave and resize at once when a broker restarts: few
 * statements then.
 */

import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import type { Database } from "../store/db.ts";
import { reclaimUnheld, type StillHeld } from "../store/reclaim.ts";
import type { Reclaimed } from "../store/rows.ts";
import {
  endSessions,
  type Opened,
  type Opening,
  openSessions,
  type Resizing,
  resizeSessions,
  type SessionRef,
} from "../store/sessions.ts";
import { createCoalescer, unlessLost } from "./coalescer.ts";
import { runStatement } from "./statement.ts";

export interface SessionRowsOptions {
  db: Pick<Database, "reserved">;
  brokerId: string;
  /** Leases of streams that are no more were taken back. */
  onReclaimed: (taken: Reclaimed[]) => void;
  /** Events that are written; absent: all. */
  keptKinds?: KeptKinds;
}

/** Each rejects with BrokerError when the database is away. */
export interface SessionRows {
  open(opening: Opening): Promise<Opened>;
  end(ref: SessionRef): Promise<unknown>;
  /** Writes the ends that could not be written: else their workers would count as connected while this broker lives. */
  endOwed(): Promise<unknown>;
  resize(ref: Resizing): Promise<unknown>;
  /** Leases of the instance other than these go back, with the attempt spent. */
  reclaimUnheld(session: SessionRef, held: string[]): Promise<void>;
}

/** Calls that go into one statement. */
const BATCH = 500;
const ONCE = { again: unlessLost };

/** What answers nothing but that it is written. */
function written<I>(write: (items: I[]) => Promise<unknown>) {
  return createCoalescer<I, undefined>(
    async (items) => {
      await write(items);
      return items.map(() => undefined);
    },
    BATCH,
    ONCE,
  );
}

export function createSessionRows(options: SessionRowsOptions): SessionRows {
  const { db, brokerId, onReclaimed, keptKinds = ALL_KINDS } = options;
  const opens = createCoalescer<Opening, Opened>(
    (items) => runStatement(() => openSessions(db.reserved, brokerId, items)),
    BATCH,
    ONCE,
  );
  const ends = written((items: SessionRef[]) => runStatement(() => endSessions(db.reserved, items)));
  const sizes = written((items: Resizing[]) => runStatement(() => resizeSessions(db.reserved, items)));
  const owed = new Set<SessionRef>();
  const end = async (ref: SessionRef) => {
    owed.delete(ref);
    try {
      await ends.add([ref]);
    } catch (err) {
      owed.add(ref);
      throw err;
    }
  };
  const unheld = written(async (items: StillHeld[]) => {
    onReclaimed(await runStatement(() => reclaimUnheld(db.reserved, items, keptKinds)));
  });
  return {
    open: async (opening: Opening) => (await opens.add([opening]))[0] as Opened,
    end,
    endOwed: () => Promise.all([...owed].map(end)),
    resize: (ref: Resizing) => sizes.add([ref]),
    reclaimUnheld: async ({ instanceId, sessionId }: SessionRef, held: string[]) =>
      void (await unheld.add([{ instanceId, sessionId, held }])),
  };
}
