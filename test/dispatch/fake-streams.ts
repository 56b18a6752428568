/** Work streams without a wire: outlets that write down what they are told, and leases from nowhere. */
import pino from "pino";
import { Sessions, type StreamLimits } from "../../src/dispatch/sessions.ts";
import { type Capacity, type Outlet, WorkSession } from "../../src/dispatch/work-session.ts";
import type { BrokerError } from "../../src/errors.ts";
import type { LeaseRef, SeatLease } from "../../src/store/rows.ts";

/** What a worker would have seen, in short words. */
export interface RecordingOutlet extends Outlet {
  said: string[];
  /** Reconnect delays of its drains. */
  delays: number[];
  fault: BrokerError | null | undefined;
  /** What came from the worker is answered when this is over. */
  answers: Promise<void> | undefined;
}

export function recordingOutlet(): RecordingOutlet {
  const said: string[] = [];
  const outlet: RecordingOutlet = {
    said,
    delays: [],
    fault: undefined,
    answers: undefined,
    jobs: (seq, leases) => void said.push(`jobs ${seq}: ${leases.map(({ jobId }) => jobId).join(" ")}`),
    cancel: ({ jobId }, reason) => void said.push(`cancel ${jobId}: ${reason}`),
    drain(reconnectAfterMs, deadlineMs) {
      outlet.delays.push(reconnectAfterMs);
      said.push(`drain within ${deadlineMs}`);
    },
    ping: () => void said.push("ping"),
    answered: () => outlet.answers ?? Promise.resolve(),
    end(fault) {
      outlet.fault = fault;
      said.push(`end: ${fault === null ? "OK" : fault.reason}`);
    },
  };
  return outlet;
}

export const capacity = (maxInFlight: number, maxByType: Record<string, number> = {}): Capacity => ({
  maxInFlight,
  maxByType: new Map(Object.entries(maxByType)),
});

let count = 0;

/** A lease as a claim answers it, with the token `t-` and the job's id. */
export function seatLease(jobId: string, more: Partial<SeatLease> = {}): SeatLease {
  return {
    jobId,
    type: "a",
    payload: "{}",
    tenantId: null,
    sourceDomain: null,
    sourceId: null,
    priority: 0,
    maxAttempts: 5,
    runAt: new Date(0),
    idempotencyKey: null,
    traceparent: null,
    createdAt: new Date(0),
    token: `t-${jobId}`,
    attempt: 1,
    expiresAt: new Date(0),
    leaseMs: 60_000,
    workerId: "w",
    instanceId: "i",
    sessionId: "s",
    ...more,
  };
}

export const ref = (jobId: string): LeaseRef => ({ jobId, token: `t-${jobId}` });

export interface GivenSession {
  instanceId?: string;
  types?: string[];
  takes?: Capacity;
  windowBytes?: number;
  outlet?: RecordingOutlet;
  onRoom?: (session: WorkSession) => void;
}

/** A stream that has begun at time 0; its names are its instance's with a letter before it. */
export function workSession(more: GivenSession = {}): { session: WorkSession; outlet: RecordingOutlet } {
  const { instanceId = `${++count}`, types = [], takes = capacity(10), windowBytes = 1_000_000 } = more;
  const outlet = more.outlet ?? recordingOutlet();
  const facts = { workerId: `w${instanceId}`, instanceId, sessionId: `s${instanceId}`, types, client: "" };
  const onRoom = more.onRoom === undefined ? {} : { onRoom: more.onRoom };
  return { session: new WorkSession(facts, takes, outlet, { windowBytes, now: 0, ...onRoom }), outlet };
}

export const LIMITS: StreamLimits = { pingMs: 20_000, silenceMs: 60_000, ackMs: 30_000 };

/** Sessions over a store that does what the test lets it do; each release is what was given back. */
export interface GivenStore {
  giveBack?: (leases: LeaseRef[]) => Promise<unknown>;
  /** What is written down for operators. */
  write?: () => Promise<unknown>;
  onEnding?: (session: WorkSession) => Promise<void>;
  onSeats?: () => void;
  onOpened?: () => void;
}

export function givenSessions(more: GivenStore = {}) {
  const released: string[] = [];
  const ended: string[] = [];
  const resized: string[] = [];
  const calls = { seats: 0, opened: 0 };
  const lines: { reason?: string; msg?: string; held?: number; returned?: number }[] = [];
  const log = pino({ level: "trace" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const sessions = new Sessions({
    limits: LIMITS,
    moves: {
      async end({ sessionId }) {
        await more.write?.();
        ended.push(sessionId);
      },
      async resize({ sessionId, maxInFlight }) {
        await more.write?.();
        resized.push(`${sessionId}: ${maxInFlight}`);
      },
      async giveBack(_workerId, leases) {
        await more.giveBack?.(leases);
        released.push(...leases.map(({ jobId }) => jobId));
      },
    },
    log,
    onEnding: more.onEnding ?? (async () => undefined),
    onSeats() {
      calls.seats++;
      more.onSeats?.();
    },
    onOpened() {
      calls.opened++;
      more.onOpened?.();
    },
  });
  /** Opens a stream that holds these jobs. */
  function open({ held = [], epoch = 1, ...given }: GivenSession & { held?: string[]; epoch?: number } = {}) {
    const made = workSession({ onRoom: sessions.onRoom, ...given });
    const kept = held.map((jobId) => ({ lease: ref(jobId), type: "a" }));
    sessions.add(made.session, epoch, kept);
    const lease = (jobId: string, rest: Partial<SeatLease> = {}) => {
      const { instanceId, sessionId, workerId } = made.session.facts;
      return seatLease(jobId, { instanceId, sessionId, workerId, ...rest });
    };
    return { ...made, lease };
  }
  return { sessions, open, released, ended, resized, calls, lines };
}
