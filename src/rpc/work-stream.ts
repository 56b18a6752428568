/** WorkerService.Work: one stream, from its Hello to its end. No rules of jobs here: sessions and moves have them. */
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { Outbox } from "../dispatch/outbox.ts";
import { lateHello, slowReader, tooManyFrames, tooManyStreams } from "../dispatch/session-faults.ts";
import type { CancelReason, Outlet, WorkSession } from "../dispatch/work-session.ts";
import { BrokerError, badField } from "../errors.ts";
import { CancelReason as CancelReasons, type Hello, type WorkRequest } from "../gen/aibroker/v1/worker_service_pb.ts";
import { asBrokerError } from "../store/database-errors.ts";
import type { Lease, LeaseRef } from "../store/rows.ts";
import { claimedJob } from "./convert.ts";
import { hangUp } from "./drain.ts";
import { duration } from "./duration.ts";
import { reasonOf } from "./own-errors.ts";
import type { ServiceContext } from "./service-context.ts";
import { helloCall } from "./validate-work.ts";
import { type OutgoingFrame, type OutgoingMessage, takeFrame } from "./work-frames.ts";
import { renewal } from "./worker-answers.ts";

/** Messages other than jobs that may wait for a worker to read; jobs have the window of its session. */
const WAITING = { messages: 1_000, bytes: 4 * 1024 * 1024 };
/** What an answer takes while it waits, about: by itself, and for each lease that it speaks of. */
const FRAME_BYTES = 256;
const ITEM_BYTES = 256;
/** After its end a stream whose worker does not read it gets this long until it is cut. */
const LAST_WORDS_MS = 5_000;
/** Frames of one stream that the database works on at a time; more wait, and so does the worker. */
const MOST_UNDER_WAY = 32;

/** How long a stream may be open without a Hello. */
const HELLO_MS = 10_000;

/** The handler of the RPC. */
export function createWork(ctx: ServiceContext) {
  // Streams that have said nothing yet are bounded by themselves, so that they cannot keep workers out.
  let silent = 0;
  return async function* work(requests: AsyncIterable<WorkRequest>, context: HandlerContext) {
    if (silent >= ctx.streams.hellos.maxStreams) throw tooManyStreams(silent);
    silent += 1;
    const stream = new WorkStream(ctx, context);
    void stream.hasBegun.then(() => {
      silent -= 1;
    });
    void stream.listen(requests);
    yield* stream.outbox;
  };
}

class WorkStream implements Outlet {
  readonly outbox: Outbox<OutgoingMessage>;
  readonly #ctx: ServiceContext;
  readonly #context: HandlerContext;
  readonly #underWay = new Set<Promise<void>>();
  readonly #begun = Promise.withResolvers<void>();
  /** Resolves with its Hello, or when it is over without one. */
  readonly hasBegun = this.#begun.promise;
  #session: WorkSession | undefined;
  #seq = 0;
  #pings = 0;
  /** Messages that may still come in this second. */
  #allowance: number;
  #allowedAt = performance.now();

  constructor(ctx: ServiceContext, context: HandlerContext) {
    this.#ctx = ctx;
    this.#context = context;
    this.#allowance = ctx.limits.maxFramesPerSecond;
    this.outbox = new Outbox({ ...WAITING, bytes: WAITING.bytes + 4 * ctx.limits.maxAnswerBytes });
    // A generator that waits in `yield` never learns that its client has left; the signal does.
    context.signal.addEventListener("abort", () => this.#over(null), { once: true });
  }

  /** Reads until the worker's side ends; never rejects. */
  async listen(requests: AsyncIterable<WorkRequest>): Promise<void> {
    const limitMs = Math.min(HELLO_MS, this.#ctx.limits.silenceMs);
    const late = setTimeout(() => this.#over(lateHello(limitMs)), limitMs);
    try {
      for await (const message of requests) {
        // What its session takes from here on is the broker's time, and the database's.
        clearTimeout(late);
        this.#countFrame();
        this.#begun.resolve();
        if (this.#session === undefined) await this.#begin(message);
        else this.#take(this.#session, message);
        while (this.#underWay.size >= MOST_UNDER_WAY) await Promise.race(this.#underWay);
      }
      // What was sent before the end is answered before the end.
      await Promise.all(this.#underWay);
      this.#over(null);
    } catch (err) {
      this.#over(err);
    } finally {
      clearTimeout(late);
      this.#begun.resolve();
    }
  }

  async #begin({ frame, ackSeq }: WorkRequest): Promise<void> {
    if (frame.case !== "hello") throw badField("frame", "the first message of a Work stream must be a hello");
    if (ackSeq !== 0n) throw badField("ack_seq", `must be 0 in a hello, since nothing was sent yet; got ${ackSeq}`);
    const call = helloCall(frame.value as Hello);
    const { session, held } = await this.#ctx.streams.hellos.open(call, this);
    this.#session = session;
    // It may have been ended, or its client have left, while it was opened.
    if (this.#context.signal.aborted) return this.#over(null);
    this.#ctx.seen?.(call.workerId, call.types, false);
    const { leaseMs, pingMs, silenceMs, maxResultBytes, maxRequestBytes, maxFramesPerSecond } = this.#ctx.limits;
    const welcome: OutgoingFrame = {
      case: "welcome",
      value: {
        sessionId: session.facts.sessionId,
        instanceId: session.facts.instanceId,
        brokerId: this.#ctx.identity.instanceId,
        leaseTtl: duration(leaseMs),
        heartbeatInterval: duration(leaseMs / 3),
        pingInterval: duration(pingMs),
        silenceTimeout: duration(silenceMs),
        maxResultBytes: BigInt(maxResultBytes),
        maxRequestBytes: BigInt(maxRequestBytes),
        maxFramesPerSecond,
        held: held.map(renewal),
      },
    };
    this.say(welcome, FRAME_BYTES + held.length * ITEM_BYTES);
  }

  #take(session: WorkSession, { frame, ackSeq }: WorkRequest): void {
    if (ackSeq < 0n || ackSeq > BigInt(session.seq)) {
      throw badField("ack_seq", `must be 0..${session.seq}, the newest seq that was sent; got ${ackSeq}`);
    }
    this.#ctx.streams.sessions.heard(session, Number(ackSeq));
    this.#ctx.seen?.(session.facts.workerId, null, false);
    const answer = takeFrame(this.#ctx, session, frame);
    if (answer === undefined) return;
    const done = answer.then(
      ({ said, items }) => this.say(said, FRAME_BYTES + items * ITEM_BYTES),
      (err: unknown) => this.#over(err),
    );
    this.#underWay.add(done);
    void done.then(() => this.#underWay.delete(done));
  }

  #countFrame(): void {
    const { maxFramesPerSecond } = this.#ctx.limits;
    const now = performance.now();
    const since = ((now - this.#allowedAt) / 1_000) * maxFramesPerSecond;
    this.#allowance = Math.min(maxFramesPerSecond, this.#allowance + since) - 1;
    this.#allowedAt = now;
    if (this.#allowance < 0) throw tooManyFrames(maxFramesPerSecond);
  }

  say(frame: OutgoingFrame, bytes = FRAME_BYTES): void {
    if (this.outbox.push({ seq: BigInt(this.#seq), frame }, bytes)) return;
    if (this.#session !== undefined && this.#session.ended === undefined) {
      this.#over(slowReader("does not read its stream"));
    }
  }

  jobs(seq: number, leases: Lease[]): void {
    this.#seq = seq;
    const bytes = leases.reduce((sum, { payload }) => sum + payload.length, 0);
    this.say({ case: "jobs", value: { jobs: leases.map(claimedJob) } }, bytes);
  }

  cancel({ jobId, token }: LeaseRef, reason: CancelReason): void {
    this.say({ case: "cancel", value: { jobId, leaseToken: token, reason: CancelReasons[reason] } });
  }

  drain(reconnectAfterMs: number, deadlineMs: number): void {
    const reason = "the broker is shutting down";
    const value = { reconnectAfter: duration(reconnectAfterMs), deadline: duration(deadlineMs), reason };
    this.say({ case: "drain", value });
  }

  ping(): void {
    this.say({ case: "ping", value: { id: BigInt(++this.#pings) } });
  }

  answered(): Promise<unknown> {
    return Promise.all(this.#underWay);
  }

  end(fault: BrokerError | null): void {
    this.outbox.end(fault ?? undefined);
    hangUp(this.#context.values, LAST_WORDS_MS);
  }

  /** The stream is over: its worker left, broke a rule, or met a fault of ours. */
  #over(thrown: unknown): void {
    // Nobody reads an error of a client that has left.
    const err = this.#context.signal.aborted ? null : asBrokerError(thrown);
    const fault = faultOf(err);
    if (err !== null && fault !== err) this.outbox.end(err);
    if (this.#session === undefined) this.end(fault);
    else void this.#ctx.streams.sessions.end(this.#session, fault);
  }
}

/** Why a stream ends, for the log and its worker; null: it left, or a fault of ours, which goes its own way. */
function faultOf(err: unknown): BrokerError | null {
  if (err instanceof BrokerError) return err;
  if (!(err instanceof ConnectError) || err.code === Code.Canceled) return null;
  return new BrokerError(reasonOf(err.code), err.rawMessage);
}
