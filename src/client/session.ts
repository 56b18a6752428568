/** One Work stream, from its Hello to its end. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { ClaimedJob } from "../gen/aibroker/v1/job_pb.ts";
import {
  type Cancel,
  type CapacitySchema,
  type Drain,
  type HelloSchema,
  type ReleaseAck,
  type ReportAck,
  type Welcome,
  type WorkRequest,
  WorkRequestSchema,
  type WorkResponse,
} from "../gen/aibroker/v1/worker_service_pb.ts";
import { BrokerError } from "./broker-error.ts";
import type { Admission } from "./crew.ts";
import { FrameBudget } from "./frame-budget.ts";
import type { LeaseName } from "./lease-book.ts";
import type { Link, WorkStream } from "./link.ts";
import { Listener } from "./listening.ts";

/** Whom a stream belongs to. */
export interface SessionHost {
  hello(): HelloInit;
  /** `held`: what the Hello named, for the verdicts in the Welcome are in its order. */
  welcome(welcome: Welcome, held: readonly LeaseName[]): void;
  /** Takes jobs on; they are started when the broker knows that they came. */
  admit(jobs: readonly ClaimedJob[]): Admission;
  cancel(cancel: Cancel): void;
  reportAck(ack: ReportAck): void;
  releaseAck(ack: ReleaseAck): void;
  /** The broker wants this stream to move after a time. */
  drained(afterMs: number, reason: string): void;
}

export type HelloInit = MessageInitShape<typeof HelloSchema> & { held: LeaseName[] };

/** How a stream ended. */
export interface SessionEnd {
  /** Undefined: with OK. */
  error: BrokerError | undefined;
  /** Any message came. */
  wasHeard: boolean;
  livedMs: number;
  /** When to open the next one, by performance.now(), where the broker said so in a Drain. */
  moveAt: number | undefined;
}

type Frame = MessageInitShape<typeof WorkRequestSchema>["frame"];

const WELCOME_WITHIN_MS = 10_000;

export class Session {
  /** Resolves with true at the Welcome, with false when the stream ends without one. */
  readonly welcomed: Promise<boolean>;
  readonly ended: Promise<SessionEnd>;
  /** Resolves when the broker asked for a move and its time has come; never otherwise. */
  readonly moveDue: Promise<void>;
  readonly #host: SessionHost;
  readonly #stream: WorkStream;
  readonly #openedAt = performance.now();
  readonly #unstarted = new Set<Admission>();
  #seq = 0n;
  #ackTimer: NodeJS.Timeout | undefined;
  #afterAck: (() => void)[] = [];
  #budget = new FrameBudget(0, performance.now());
  #listener: Listener | undefined;
  #wasHeard = false;
  #moveAt: number | undefined;
  #moveTimer: NodeJS.Timeout | undefined;
  #takesJobs = true;
  #isLeaving = false;
  #isOver = false;
  #pings = 0n;
  #said: string;
  #seen: MessageInitShape<typeof CapacitySchema> | undefined;
  readonly #held: readonly LeaseName[];
  readonly #late: NodeJS.Timeout;
  readonly #onWelcome: (welcomed: boolean) => void;
  readonly #onEnd: (end: SessionEnd) => void;
  readonly #onMove: () => void;

  /** Opens the stream and says Hello. */
  constructor(link: Link, host: SessionHost) {
    this.#host = host;
    ({ promise: this.welcomed, resolve: this.#onWelcome } = Promise.withResolvers<boolean>());
    ({ promise: this.ended, resolve: this.#onEnd } = Promise.withResolvers<SessionEnd>());
    ({ promise: this.moveDue, resolve: this.#onMove } = Promise.withResolvers<void>());
    this.#stream = link.openWork({
      onMessage: (message) => this.#isOver || this.#read(message),
      onEnd: (error) => this.#finish(error),
    });
    const hello = host.hello();
    this.#held = hello.held;
    this.#said = capacityKey(hello.maxInFlight, hello.maxByType);
    this.#send({ case: "hello", value: hello });
    const late = new BrokerError("DEADLINE_EXCEEDED", `no Welcome came within ${WELCOME_WITHIN_MS} ms`);
    this.#late = setTimeout(() => this.#cut(late), WELCOME_WITHIN_MS);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Sends reports or releases as soon as the broker's limit of messages allows; the host hears the answer. */
  tell(frame: Frame): void {
    const now = performance.now();
    const waitMs = this.#budget.waitMs(now);
    // Counted now, so that the next one waits for longer.
    this.#budget.spend(now);
    if (waitMs === 0) this.#write(frame);
    else setTimeout(() => this.#write(frame), waitMs);
  }

  /** Says how much the worker takes, where that has changed. */
  resize(capacity: MessageInitShape<typeof CapacitySchema>): void {
    // Asked at each job's end.
    if (capacity === this.#seen) return;
    this.#seen = capacity;
    const key = capacityKey(capacity.maxInFlight, capacity.maxByType);
    // After our Drain it would be against the rules.
    if (this.#isOver || this.#isLeaving || key === this.#said) return;
    this.#said = key;
    this.#send({ case: "capacity", value: capacity });
  }

  /** No more jobs, for good. */
  leave(reason: string): void {
    if (this.#isOver || this.#isLeaving) return;
    this.#isLeaving = true;
    this.#send({ case: "drain", value: { reason } });
  }

  /** Another stream of ours is about to take over: jobs that still come are not acked, so they go back at once. */
  retire(): void {
    this.#takesJobs = false;
  }

  /** Says goodbye: our side is over, and the broker ends its own. */
  end(): void {
    if (!this.#isOver) this.#stream.end();
  }

  /** Ends the stream at once. */
  cancel(): void {
    this.#cut(undefined);
  }

  #read(message: WorkResponse): void {
    this.#wasHeard = true;
    this.#listener?.heard();
    const { frame } = message;
    if (frame.case === "jobs" && !this.#takesJobs) return;
    if (this.#takesJobs && message.seq > this.#seq) this.#seq = message.seq;
    if (frame.case === "welcome") this.#begin(frame.value);
    else if (frame.case === "jobs") this.#take(frame.value.jobs);
    else if (frame.case === "reportAck") this.#host.reportAck(frame.value);
    else if (frame.case === "releaseAck") this.#host.releaseAck(frame.value);
    else if (frame.case === "cancel") this.#host.cancel(frame.value);
    else if (frame.case === "drain") this.#drained(frame.value);
    else if (frame.case === "ping") this.#send({ case: "pong", value: { id: frame.value.id } });
    // A pong, or what a newer broker says: that it came is all that counts.
  }

  #begin(welcome: Welcome): void {
    clearTimeout(this.#late);
    this.#budget = new FrameBudget(welcome.maxFramesPerSecond, performance.now());
    const { pingInterval, silenceTimeout } = welcome;
    if (pingInterval !== undefined && silenceTimeout !== undefined) {
      const silenceMs = durationMs(silenceTimeout);
      const words = `nothing came from the broker for ${silenceMs} ms`;
      this.#listener = new Listener({
        pingMs: durationMs(pingInterval),
        silenceMs,
        ping: () => this.#send({ case: "ping", value: { id: ++this.#pings } }),
        silent: () => this.#cut(new BrokerError("DEADLINE_EXCEEDED", words)),
      });
    }
    this.#host.welcome(welcome, this.#held);
    this.#onWelcome(true);
  }

  #take(jobs: readonly ClaimedJob[]): void {
    const admission = this.#host.admit(jobs);
    this.#unstarted.add(admission);
    // The ack must be on its way before a handler can hold the event loop.
    this.#afterAck.push(() => {
      if (this.#unstarted.delete(admission)) admission.start();
    });
    this.#ack();
  }

  #ack(): void {
    if (this.#ackTimer !== undefined) return;
    const waitMs = this.#budget.waitMs(performance.now());
    const send = () => {
      this.#ackTimer = undefined;
      // A report may have carried it meanwhile.
      if (this.#afterAck.length > 0) this.#send({ case: undefined });
    };
    if (waitMs === 0) send();
    else this.#ackTimer = setTimeout(send, waitMs);
  }

  #drained({ reconnectAfter, reason }: Drain): void {
    if (this.#moveAt !== undefined) return;
    const afterMs = reconnectAfter === undefined ? 0 : durationMs(reconnectAfter);
    this.#moveAt = performance.now() + afterMs;
    this.#moveTimer = setTimeout(() => this.#onMove(), afterMs);
    this.#host.drained(afterMs, reason);
  }

  #send(frame: Frame): void {
    this.#budget.spend(performance.now());
    this.#write(frame);
  }

  #write(frame: Frame): void {
    if (this.#isOver) return;
    const after = this.#afterAck.splice(0);
    const message: WorkRequest = create(WorkRequestSchema, { ackSeq: this.#seq, frame });
    this.#stream.send(
      message,
      after.length === 0 ? undefined : () => this.#isOver || after.forEach((run) => void run()),
    );
  }

  #cut(error: BrokerError | undefined): void {
    if (this.#isOver) return;
    this.#stream.cancel();
    this.#finish(error);
  }

  #finish(error: BrokerError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const timer of [this.#late, this.#ackTimer, this.#moveTimer]) clearTimeout(timer);
    this.#listener?.stop();
    // Never acked, as far as we know: the broker takes them back.
    for (const admission of this.#unstarted) admission.forget();
    this.#onWelcome(false);
    const livedMs = performance.now() - this.#openedAt;
    this.#onEnd({ error, wasHeard: this.#wasHeard, livedMs, moveAt: this.#moveAt });
  }
}

function capacityKey(maxInFlight: number | undefined, maxByType: Record<string, number> | undefined): string {
  return JSON.stringify([maxInFlight, maxByType]);
}
