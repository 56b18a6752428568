/** A dispatcher over a model queue, with the real Waiters and Sessions around it, wired as createStreams does. */
import { Dispatcher, type SeatClaim } from "../../src/dispatch/dispatcher.ts";
import { Waiters } from "../../src/dispatch/waiters.ts";
import type { WorkSession } from "../../src/dispatch/work-session.ts";
import type { Seat } from "../../src/store/rows.ts";
import { givenSessions, seatLease } from "./fake-streams.ts";
import { ModelQueue } from "./model-queue.ts";

export const POLL_MS = 1_000;

/** A store whose claims and looks do what the test tells them to. */
function modelStore() {
  const queue = new ModelQueue();
  /** The claims so far, with the instance of each seat. */
  const claims: { types: string[]; seats: string[] }[] = [];
  const looks = { count: 0 };
  const store = {
    /** Claims wait for it with what they took. */
    after: undefined as Promise<void> | undefined,
    fails: false,
    payload: "{}",
    /** Instances whose session is no longer current. */
    dead: new Set<string>(),
    onDeadSeats: async (): Promise<void> => undefined,
  };

  async function claim(types: string[], seats: Seat[]): Promise<SeatClaim> {
    claims.push({ types, seats: seats.map(({ instanceId }) => instanceId) });
    if (store.fails) throw new Error("away");
    const live = seats.filter(({ instanceId }) => !store.dead.has(instanceId));
    const leases = queue
      .claim(types, live.length)
      .map(({ id, type }, nth) => seatLease(String(id), { type, payload: store.payload, ...(live[nth] as Seat) }));
    await store.after;
    return { leases, isShort: leases.length < live.length, deadSeats: seats.length - live.length };
  }

  async function look(limit: number) {
    looks.count++;
    return [...queue.counts()].map(([type, count]) => ({ type, count: Math.min(count, limit), nextInMs: null }));
  }
  return { queue, claims, looks, store, claim, look };
}

export function givenDispatch() {
  const { queue, claims, looks, store, claim, look } = modelStore();
  const errors: unknown[] = [];
  const onError = (err: unknown) => void errors.push(err);
  const waiters = new Waiters({ look, pollMs: POLL_MS, onError });
  const streams = givenSessions({
    giveBack: async () => {
      if (store.fails) throw new Error("away");
    },
    onEnding: ({ facts }) => dispatcher.served(facts.sessionId),
    onSeats() {
      dispatcher.seats();
      waiters.wanted();
    },
    onOpened: () => waiters.lookNow(),
  });
  const { sessions } = streams;
  const dispatcher = new Dispatcher({
    sessions,
    claim,
    giveBack: (leases) => Promise.all(leases.map((lease) => sessions.giveBack(lease.workerId, [lease]))),
    onDeadSeats: () => store.onDeadSeats(),
    lookNow: () => waiters.lookNow(),
    pollMs: POLL_MS,
    onError,
  });
  waiters.attach(dispatcher);
  /** Jobs that are dispatched on this broker. */
  const dispatch = (...types: string[]) => {
    for (const { type } of queue.add(...types)) waiters.arrived(type, 1);
  };
  /** The worker reports a job that it has. */
  const report = (session: WorkSession, nth = 0) => {
    const lease = session.leases()[nth];
    if (lease !== undefined) sessions.settled(lease);
  };
  return { ...streams, queue, claims, errors, looks, store, waiters, dispatcher, dispatch, report };
}
