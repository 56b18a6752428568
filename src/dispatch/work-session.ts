/**
 * One Work stream as the broker counts it: what the worker may take, what it has, and which frames it has acked. Holds
 * no timer and no SQL; sessions.ts acts on what it says.
 */
import type { BrokerError } from "../errors.ts";
import type { Lease, LeaseRef } from "../store/rows.ts";
import type { Seated } from "./match.ts";

/** Absolute: how many jobs the instance takes, those it has included. */
export interface Capacity {
  maxInFlight: number;
  maxByType: ReadonlyMap<string, number>;
}

export type CancelReason = "CANCELLED" | "LOST";

/** The stream's way out. None of these waits, and none throws: a stream that cannot be written to ends by itself. */
export interface Outlet {
  jobs(seq: number, leases: Lease[]): void;
  cancel(lease: LeaseRef, reason: CancelReason): void;
  drain(reconnectAfterMs: number, deadlineMs: number): void;
  ping(): void;
  /** Resolves when everything that came from the worker is answered. */
  answered(): Promise<unknown>;
  /** The last word; null: an end without a fault. */
  end(fault: BrokerError | null): void;
}

export interface SessionFacts {
  workerId: string;
  instanceId: string;
  sessionId: string;
  /** Empty: any. */
  types: readonly string[];
  client: string;
}

/** A job that the worker has, or is being sent. */
interface Held extends LeaseRef {
  type: string;
  bytes: number;
  /** The frame that brought it; 0: it was held before this stream. */
  seq: number;
  cancelTold: boolean;
}

const NO_LIMITS: ReadonlyMap<string, number> = new Map();

/** Frame overhead and ids, for the count of bytes that are under way. */
const FACTS_BYTES = 2_048;

export interface SessionOptions {
  /** Bytes of unacked jobs, after which it gets no more. */
  windowBytes: number;
  /** performance.now(). */
  now: number;
  /** False: not before startTaking; default true. */
  takesJobs?: boolean;
  /** Told after each change that may have changed `free`. */
  onRoom?: (session: WorkSession) => void;
}

export class WorkSession implements Seated {
  readonly facts: SessionFacts;
  readonly outlet: Outlet;
  /** Bytes of jobs that may be under way before the worker acks: what one stream can make us keep. */
  readonly #windowBytes: number;
  readonly #held = new Map<string, Held>();
  readonly #byType = new Map<string, number>();
  #freeByType: ReadonlyMap<string, number> | undefined;
  #capacity: Capacity;
  #sent = 0;
  #acked = 0;
  /** For each unacked frame, in order: when it was sent, and what of it is still open. */
  readonly #frames = new Map<number, { sentAt: number; bytes: number; jobs: number }>();
  #unackedBytes = 0;
  /** Jobs that are being dispatched for it, and their bytes. */
  #reserved = 0;
  #reservedBytes = 0;
  readonly #onRoom: (session: WorkSession) => void;
  #takesJobs: boolean;
  /** performance.now() of the last message from the worker, and of our last ping. */
  heardAt: number;
  pingedAt: number;
  /** The worker said that it wants no more jobs. */
  isLeaving = false;
  /** Set once it has ended; resolves when what goes back has gone back. */
  ended: Promise<void> | undefined;

  constructor(facts: SessionFacts, capacity: Capacity, outlet: Outlet, options: SessionOptions) {
    this.facts = facts;
    this.outlet = outlet;
    this.#capacity = capacity;
    this.#windowBytes = options.windowBytes;
    this.#onRoom = options.onRoom ?? (() => undefined);
    this.#takesJobs = options.takesJobs ?? true;
    this.heardAt = options.now;
    this.pingedAt = options.now;
  }

  get types(): readonly string[] {
    return this.facts.types;
  }

  /** Jobs that it has, or is about to get. */
  get load(): number {
    return this.#held.size + this.#reserved;
  }

  get held(): number {
    return this.#held.size;
  }

  get seq(): number {
    return this.#sent;
  }

  get maxInFlight(): number {
    return this.#capacity.maxInFlight;
  }

  /** Jobs that it may be given now. */
  get free(): number {
    if (!this.#takesJobs || this.ended !== undefined || this.#unackedBytes + this.#reservedBytes >= this.#windowBytes)
      return 0;
    return Math.max(0, this.#capacity.maxInFlight - this.load);
  }

  /** Kept until it changes: with thousands of streams, each round reads it of all of them. */
  get freeByType(): ReadonlyMap<string, number> {
    if (this.#capacity.maxByType.size === 0) return NO_LIMITS;
    this.#freeByType ??= new Map(
      [...this.#capacity.maxByType].map(([type, max]) => [type, Math.max(0, max - (this.#byType.get(type) ?? 0))]),
    );
    return this.#freeByType;
  }

  /** Whether it may be sent jobs at all. */
  get takesJobs(): boolean {
    return this.#takesJobs && this.ended === undefined;
  }

  startTaking(): void {
    if (!this.isLeaving) this.#takesJobs = true;
    this.#onRoom(this);
  }

  /** No jobs from here on. */
  stopTaking(): void {
    this.#takesJobs = false;
    this.#onRoom(this);
  }

  resize(capacity: Capacity): void {
    this.#capacity = capacity;
    this.#freeByType = undefined;
    this.#onRoom(this);
  }

  /** Counts a lease that the worker brought along. */
  keep(lease: LeaseRef, type: string): void {
    this.#add({ ...lease, type, bytes: 0, seq: 0, cancelTold: false });
  }

  /** Keeps a seat free for a job of this type that is being dispatched, until the answer is called, once. */
  reserve(type: string, payloadLength: number): () => void {
    const change = (count: 1 | -1) => {
      this.#reserved += count;
      this.#reservedBytes += count * (payloadLength + FACTS_BYTES);
      this.#count(type, count);
      this.#onRoom(this);
    };
    change(1);
    return () => change(-1);
  }

  /** Sends jobs as one frame. */
  push(leases: Lease[], now: number): void {
    const seq = ++this.#sent;
    let bytes = 0;
    for (const { jobId, token, type, payload } of leases) {
      const size = payload.length + FACTS_BYTES;
      bytes += size;
      this.#add({ jobId, token, type, bytes: size, seq, cancelTold: false });
    }
    this.#frames.set(seq, { sentAt: now, bytes, jobs: leases.length });
    this.#unackedBytes += bytes;
    this.outlet.jobs(seq, leases);
    this.#onRoom(this);
  }

  /** Every frame up to seq has arrived. True when that makes room. */
  ack(seq: number): boolean {
    if (seq <= this.#acked) return false;
    this.#acked = seq;
    const before = this.free;
    for (const [frame, { bytes }] of this.#frames) {
      if (frame > seq) break;
      this.#frames.delete(frame);
      this.#unackedBytes -= bytes;
    }
    this.#onRoom(this);
    return this.free > before;
  }

  /** When the oldest frame was sent that is not acked yet. */
  get waitsForAckSince(): number | undefined {
    for (const { sentAt } of this.#frames.values()) return sentAt;
    return undefined;
  }

  /** The lease has ended, whoever ended it. False when it is not one of this session's. */
  drop({ jobId, token }: LeaseRef): boolean {
    const held = this.#held.get(token);
    // A right token with another job's id is no lease at all.
    if (held === undefined || held.jobId !== jobId) return false;
    this.#held.delete(token);
    this.#count(held.type, -1);
    // A report acks its job: nobody waits for the ack of a frame that has no other.
    const frame = this.#frames.get(held.seq);
    if (frame !== undefined) {
      frame.bytes -= held.bytes;
      frame.jobs -= 1;
      this.#unackedBytes -= held.bytes;
      if (frame.jobs === 0) this.#frames.delete(held.seq);
    }
    this.#onRoom(this);
    return true;
  }

  has(token: string): boolean {
    return this.#held.has(token);
  }

  /** Tells the worker to stop, once for each reason; a lost lease is dropped. */
  cancel(token: string, reason: CancelReason): void {
    const held = this.#held.get(token);
    if (held === undefined || (reason === "CANCELLED" && held.cancelTold)) return;
    held.cancelTold = true;
    if (reason === "LOST") this.drop(held);
    this.outlet.cancel({ jobId: held.jobId, token }, reason);
  }

  leases(): LeaseRef[] {
    return [...this.#held.values()].map(({ jobId, token }) => ({ jobId, token }));
  }

  /** Leases of frames that were never acked. */
  unacked(): LeaseRef[] {
    return [...this.#held.values()]
      .filter(({ seq }) => seq > this.#acked)
      .map(({ jobId, token }) => ({ jobId, token }));
  }

  #add(held: Held): void {
    this.#held.set(held.token, held);
    this.#count(held.type, 1);
  }

  #count(type: string, more: number): void {
    const count = (this.#byType.get(type) ?? 0) + more;
    // Types are free text: none is kept that says nothing.
    if (count === 0) this.#byType.delete(type);
    else this.#byType.set(type, count);
    this.#freeByType = undefined;
  }
}
