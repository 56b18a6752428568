/** Why a Work stream is refused or ended, in words for its worker. */
import { BrokerError } from "../errors.ts";

/** The more often live streams of one instance push each other out, the longer the loser is told to wait. */
export function supersededBy(times: number): BrokerError {
  return new BrokerError(
    "SESSION_SUPERSEDED",
    "a newer stream has the same instance_id; if that is another process, give each its own instance_id",
    { retryAfterMs: Math.min(60_000, 1_000 * 2 ** Math.min(10, times)) },
  );
}

export function tooManyStreams(count: number): BrokerError {
  return new BrokerError(
    "TOO_MANY_STREAMS",
    `this broker holds ${count} Work streams and takes no more (WORK_MAX_STREAMS); connect to another one, or later`,
    // Spread, so that those who were refused do not come back together.
    { retryAfterMs: 1_000 + Math.round(Math.random() * 4_000) },
  );
}

export function tooManyFrames(perSecond: number): BrokerError {
  const text = `more than ${perSecond} messages in a second (WORK_MAX_FRAMES_PER_SECOND): put more items in each`;
  return new BrokerError("TOO_MANY_FRAMES", text, { retryAfterMs: 1_000 });
}

export function silent(silenceMs: number): BrokerError {
  const text = `nothing came from the worker for ${silenceMs} ms (WORK_SILENCE_MS): answer pings, then connect again`;
  return new BrokerError("WORKER_SILENT", text, { retryAfterMs: 1_000 });
}

/** It may have come to a broker that was too busy to read it: a reason to come again, not to give up. */
export function lateHello(limitMs: number): BrokerError {
  const text = `no hello came for ${limitMs} ms: send it as the first message of the stream, and connect again`;
  return new BrokerError("WORKER_SILENT", text, { retryAfterMs: 1_000 });
}

export function slowReader(what: string): BrokerError {
  const text = `the worker ${what}: read and ack each message before work begins`;
  return new BrokerError("SLOW_READER", text, { retryAfterMs: 1_000 });
}

export function brokerLeaves(): BrokerError {
  const text = "the broker is shutting down; connect to another one, or in a moment";
  return new BrokerError("SHUTTING_DOWN", text, { retryAfterMs: 1_000 });
}
