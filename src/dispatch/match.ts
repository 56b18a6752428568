/**
 * Who gets the next jobs: free seats become groups, and each group is one claim of the store for many workers. Pure.
 *
 * No order is broken by it: a claim takes the oldest jobs of the group's types, so no seat gets a job while an older
 * one waits that the same seat could take. Groups of few types come first, so that a worker who takes anything does
 * not take the one job that a specialist was free for.
 */

/** What a worker takes now. */
export interface Seated {
  /** Empty: any type. */
  types: readonly string[];
  /** Jobs that it may be given. */
  free: number;
  /** Types with a limit of their own, and what is left of each. */
  freeByType: ReadonlyMap<string, number>;
  /** Jobs that it has now: the least loaded comes first. */
  load: number;
}

/** What is known of the queue. */
export interface Known {
  /** Due jobs of a type: 0 for none, Infinity where it is not known. */
  expected(type: string): number;
  /** All types that have due jobs, or undefined where it is not known. */
  list(): readonly string[] | undefined;
}

/** One claim: of these types, the nth job for the nth seat. */
export interface Group {
  /** Empty: any type. */
  types: string[];
  /** Indexes into the workers, one for each seat. */
  seats: number[];
}

export interface Matched {
  groups: Group[];
  /** A worker takes any type but some that it has enough of: the queue's types must be looked up before it can claim. */
  needsLook: boolean;
}

/**
 * At most `most` seats a group, and no more than jobs are expected, since a seat that is offered costs a look-up.
 * Workers with equal loads are served in the order given.
 */
export function match(workers: readonly Seated[], known: Known, most: number): Matched {
  const groups = new Map<string, Offers>();
  const listed = known.list();
  let needsLook = false;

  workers.forEach((seated, worker) => {
    if (seated.free <= 0) return;
    const shares = seated.types.length > 0 ? sharesOf(seated) : sharesOfAny(seated, listed);
    if (shares === undefined) needsLook = true;
    for (const { key, types, count } of shares ?? []) {
      let group = groups.get(key);
      if (group === undefined) {
        group = { types, limit: Math.min(most, expectedOf(types, known)), byLoad: new Map() };
        groups.set(key, group);
      }
      offer(group, worker, seated.load, Math.min(count, group.limit));
    }
  });

  const sorted = [...groups.values()]
    .filter(({ limit }) => limit > 0)
    .sort((a, b) => breadth(a.types) - breadth(b.types));
  return {
    needsLook,
    groups: sorted.map(({ types, byLoad, limit }) => ({ types, seats: leastLoaded(byLoad, limit) })),
  };
}

/** What the workers of one group offer. Loads are small numbers, so sorting is putting into boxes. */
interface Offers {
  types: string[];
  limit: number;
  byLoad: Map<number, number[]>;
}

/** Each further job would find the worker with one more. */
function offer({ byLoad, limit }: Offers, worker: number, load: number, count: number): void {
  for (let n = 0; n < count; n++) {
    const box = byLoad.get(load + n);
    if (box === undefined) byLoad.set(load + n, [worker]);
    // A full box: nobody with so much or more to do is needed.
    else if (box.length >= limit) return;
    else box.push(worker);
  }
}

function leastLoaded(byLoad: Map<number, number[]>, limit: number): number[] {
  const seats: number[] = [];
  for (const load of [...byLoad.keys()].sort((a, b) => a - b)) {
    for (const worker of byLoad.get(load) ?? []) {
      if (seats.length === limit) return seats;
      seats.push(worker);
    }
  }
  return seats;
}

/** What a worker offers: seats for jobs of these types, whichever they are. */
interface Share {
  key: string;
  types: string[];
  count: number;
}

/** Kept for as long as they hold, since each round asks every worker. */
const kept = new WeakMap<Seated, { free: number; freeByType: ReadonlyMap<string, number>; shares: readonly Share[] }>();

function sharesOf(seated: Seated): readonly Share[] {
  const { free, freeByType } = seated;
  const before = kept.get(seated);
  if (before?.free === free && before.freeByType === freeByType) return before.shares;
  const shares = split(seated, freeByType.size === 0 ? seated.types : seated.types.filter(roomIn(seated)));
  kept.set(seated, { free, freeByType, shares });
  return shares;
}

/** Of a worker of any type; undefined where only a look can tell which types it may still be given. */
function sharesOfAny(seated: Seated, listed: readonly string[] | undefined): readonly Share[] | undefined {
  const { free, freeByType } = seated;
  if (listed?.length === 0) return [];
  const count = Math.min(free, ...freeByType.values());
  if (count > 0) return [{ key: "", types: [], count }];
  return listed && split(seated, listed.filter(roomIn(seated)));
}

function roomIn({ freeByType }: Seated): (type: string) => boolean {
  return (type) => (freeByType.get(type) ?? 1) > 0;
}

/**
 * Splits a worker's free seats so that no claim can pass a limit of its own: each type by itself where all fit side by
 * side, else together, but only as many as any of the limits allows; the next round gives the rest. Types of which
 * nothing is expected are claimed together with the others: an older job that nobody told of must not be passed by.
 */
function split({ free, freeByType }: Seated, open: readonly string[]): Share[] {
  if (open.length === 0) return [];
  const rooms = open.map((type) => Math.min(free, freeByType.get(type) ?? free));
  const sum = rooms.reduce((all, room) => all + room, 0);
  if (sum <= free) return open.map((type, at) => ({ key: type, types: [type], count: rooms[at] as number }));
  const types = [...open].sort();
  // No type can hold a NUL.
  return [{ key: types.join("\0"), types, count: Math.min(...rooms) }];
}

function expectedOf(types: readonly string[], known: Known): number {
  const listed = types.length > 0 ? types : known.list();
  if (listed === undefined) return Number.POSITIVE_INFINITY;
  return listed.reduce((sum, type) => sum + known.expected(type), 0);
}

function breadth(types: string[]): number {
  return types.length === 0 ? Number.POSITIVE_INFINITY : types.length;
}
