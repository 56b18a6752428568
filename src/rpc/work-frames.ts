/** What each message of a worker does on its Work stream, and what the broker says to it. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { WorkSession } from "../dispatch/work-session.ts";
import { BrokerError, badField } from "../errors.ts";
import type {
  Heartbeat,
  Release,
  Reports,
  WorkRequest,
  WorkResponseSchema,
} from "../gen/aibroker/v1/worker_service_pb.ts";
import { LIMITS } from "../job/limits.ts";
import { asBrokerError } from "../store/database-errors.ts";
import { duration } from "./duration.ts";
import type { ServiceContext } from "./service-context.ts";
import { text } from "./validate.ts";
import { capacity, streamBeats } from "./validate-work.ts";
import { leaseRefs, reports } from "./validate-worker.ts";
import { renewal, reportResult } from "./worker-answers.ts";

export type OutgoingMessage = MessageInitShape<typeof WorkResponseSchema>;
export type OutgoingFrame = NonNullable<OutgoingMessage["frame"]>;

export interface Answer {
  said: OutgoingFrame;
  /** Leases that it speaks of: its size. */
  items: number;
}

/**
 * Carries out one message after the Hello. Throws, or the answer rejects, where the stream is to end; undefined: there
 * is nothing to say.
 */
export function takeFrame(
  ctx: ServiceContext,
  session: WorkSession,
  frame: WorkRequest["frame"],
): Promise<Answer> | undefined {
  const { sessions } = ctx.streams;
  switch (frame.case) {
    case "hello":
      throw badField("hello", "stands twice on this stream: end it and open another one");
    case "capacity":
      if (session.isLeaving && !sessions.draining) throw leaving();
      sessions.resize(session, capacity("capacity", frame.value));
      return undefined;
    case "heartbeat":
      return heartbeat(ctx, session, frame.value);
    case "reports":
      return report(ctx, session, frame.value);
    case "release":
      return release(ctx, session, frame.value);
    case "drain":
      text("drain.reason", frame.value.reason, LIMITS.reason);
      sessions.leave(session, frame.value.reason);
      return undefined;
    case "ping":
      return Promise.resolve({ said: { case: "pong", value: { id: frame.value.id } }, items: 0 });
    default:
      // A pong or a bare ack: that it came is all it says.
      return undefined;
  }
}

function leaving(): BrokerError {
  const text = "capacity: the worker has sent a drain on this stream; open another one to take jobs again";
  return new BrokerError("WORKER_DRAINING", text, { field: "capacity" });
}

async function heartbeat(ctx: ServiceContext, { facts }: WorkSession, { id, leases }: Heartbeat): Promise<Answer> {
  const beats = streamBeats(leases);
  const answer = await unlessAway(async () => ({
    leases: beats.length === 0 ? [] : (await ctx.moves.heartbeat(facts.workerId, beats)).map(renewal),
  }));
  return { said: { case: "heartbeatAck", value: { id, ...answer } }, items: beats.length };
}

async function report(ctx: ServiceContext, { facts }: WorkSession, { id, items }: Reports): Promise<Answer> {
  const sound = reports(items, ctx.limits, "reports.items");
  const answer = await unlessAway(async () => {
    const reported = await ctx.moves.report(facts.workerId, sound);
    return { results: reported.map((one, at) => reportResult(one, sound[at])) };
  });
  return { said: { case: "reportAck", value: { id, ...answer } }, items: sound.length };
}

async function release(ctx: ServiceContext, { facts }: WorkSession, message: Release): Promise<Answer> {
  const leases = leaseRefs(message.leases, "release.leases");
  const why = text("release.reason", message.reason, LIMITS.reason);
  const answer = await unlessAway(async () => ({
    results: (await ctx.moves.release(facts.workerId, leases, why)).map(({ jobId, released }) => ({ jobId, released })),
  }));
  return { said: { case: "releaseAck", value: { id: message.id, ...answer } }, items: leases.length };
}

/** A database that is away ends no stream: the worker keeps what it has and says it again. */
async function unlessAway<T>(run: () => Promise<T>): Promise<T | { retryAfter: ReturnType<typeof duration> }> {
  try {
    return await run();
  } catch (thrown) {
    const err = asBrokerError(thrown);
    if (!(err instanceof BrokerError) || err.reason !== "DATABASE_DOWN") throw err;
    return { retryAfter: duration(err.retryAfterMs ?? 1_000) };
  }
}
