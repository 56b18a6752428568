/** Hellos over a store that has one row for each instance and waits where a test says so. */
import pino from "pino";
import { type HelloCall, Hellos } from "../../src/dispatch/hellos.ts";
import type { Renewal } from "../../src/store/rows.ts";
import { capacity, givenSessions, recordingOutlet } from "./fake-streams.ts";

const hello = (more: Partial<HelloCall> = {}): HelloCall => ({
  workerId: "w",
  instanceId: "i",
  types: [],
  capacity: capacity(5),
  held: [],
  client: "",
  ...more,
});
export const CONTINUE = (jobId: string): Renewal => ({ jobId, verdict: "CONTINUE", type: "a", expiresAt: new Date(0) });
export const LOST = (jobId: string): Renewal => ({ jobId, verdict: "LOST", type: null, expiresAt: null });

/** A store with one row for each instance. Each call waits for its gate, if there is one, and is written down. */
export function givenHellos(more: { maxStreams?: number } = {}) {
  const calls: string[] = [];
  const told: string[] = [];
  /** In whose name leases were taken back: the database refuses a stream that is no longer the current one. */
  const reclaimers: string[] = [];
  const gates = new Map<string, Promise<void>>();
  const epochs = new Map<string, number>();
  const store = { other: null as string | null, verdicts: CONTINUE, giveBackFails: false, reclaimFails: false };
  const step = async (call: string) => {
    calls.push(call);
    await gates.get(call.split(" ")[0] as string);
    calls.push(`${call} done`);
  };
  const streams = givenSessions({
    giveBack: async (leases) => {
      await step(`giveBack ${leases.map(({ jobId }) => jobId)}`);
      if (store.giveBackFails) throw new Error("away");
    },
  });
  const { sessions } = streams;
  const hellos = new Hellos({
    sessions,
    moves: {
      async open({ instanceId }) {
        await step(`open ${instanceId}`);
        const epoch = (epochs.get(instanceId) ?? 0) + 1;
        epochs.set(instanceId, epoch);
        return { instanceId, epoch, supersedes: epoch - 1, other: store.other };
      },
      async heartbeat(_workerId, beats) {
        await step(`heartbeat ${beats.map(({ jobId }) => jobId)}`);
        return beats.map(({ jobId }) => store.verdicts(jobId));
      },
      async reclaimUnheld({ instanceId, sessionId }, held) {
        reclaimers.push(sessionId);
        if (store.reclaimFails) throw new Error("away");
        await step(`reclaim ${instanceId} but [${held}]`);
      },
    },
    maxStreams: more.maxStreams ?? 100,
    windowBytes: 1_000_000,
    brokerId: "here",
    log: pino({ level: "silent" }),
    onSuperseded: ({ instanceId, epoch }) => void told.push(`${instanceId} ${epoch}`),
    onSeats: () => void told.push("seats"),
  });
  const done = () => calls.filter((call) => call.endsWith(" done")).map((call) => call.replace(" done", ""));
  const open = (call: Partial<HelloCall> = {}, outlet = recordingOutlet()) => hellos.open(hello(call), outlet);
  /** Holds back all calls of this name until the answer is called. */
  const hold = (name: string) => {
    const gate = Promise.withResolvers<void>();
    gates.set(name, gate.promise);
    return () => {
      gates.delete(name);
      gate.resolve();
    };
  };
  return { ...streams, hellos, open, calls, done, told, reclaimers, hold, store };
}
