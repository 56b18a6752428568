/** Handlers within the broker's own process: told of events by the same rules as an endpoint, without HTTP. */

import { statusAfter } from "../job/delivery.ts";
import type { EventKind } from "../job/events.ts";
import type { Status } from "../job/status.ts";
import type { Delivery } from "../store/deliveries.ts";
import type { EventResult } from "../store/delivery-result.ts";
import type { EventFacts } from "../store/event-facts.ts";
import { idOf } from "./payload.ts";
import type { Answer } from "./send.ts";

/** What has happened to a job. */
export interface BrokerEvent extends EventFacts {
  /** Stays the same however often the event is told: what a handler compares to do a thing once. */
  eventId: string;
  /** The job's state after it. */
  status: Status;
  /** As JSON text, so that its numbers stay exact; null where there is none, or it is omitted. */
  resultJson: string | null;
  /** Why the result of an ended job is not here. */
  resultOmitted: "too_large" | "changed" | "gone" | null;
}

export interface EventHandler {
  /** Names its row: what it has been told is remembered under it, over restarts and over all brokers that have it. */
  name: string;
  /** Empty: all. */
  kinds: EventKind[];
  types: string[];
  /** A handler that takes longer has failed, and the signal says so. */
  timeoutMs: number;
  /** What it throws or rejects with has the event told again later. */
  handle: (event: BrokerEvent, signal: AbortSignal) => unknown;
}

function eventOf(delivery: Delivery, result: EventResult | null): BrokerEvent {
  const { jobId, seq, kind, at, type, attempt, tenantId, sourceDomain, sourceId, workerId, error } = delivery;
  return {
    ...{ eventId: idOf(delivery), jobId, seq, kind, at, type, status: statusAfter(kind), attempt },
    ...{ tenantId, sourceDomain, sourceId, workerId, error },
    resultJson: result !== null && "text" in result ? result.text : null,
    resultOmitted: result !== null && "omitted" in result ? result.omitted : null,
  };
}

/** Calls the handler; what it throws becomes the answer. */
export async function runHandler(
  handler: EventHandler,
  delivery: Delivery,
  result: EventResult | null,
  stopped: AbortSignal,
): Promise<Answer> {
  const late = AbortSignal.timeout(handler.timeoutMs);
  const signal = AbortSignal.any([late, stopped]);
  const { promise: over, resolve: end } = Promise.withResolvers<Answer>();
  signal.addEventListener("abort", () =>
    end(
      stopped.aborted
        ? { outcome: "stopped", status: null, error: "" }
        : { outcome: "failed", status: null, error: `the handler took more than ${handler.timeoutMs} ms` },
    ),
  );
  const ran = (async (): Promise<Answer> => {
    try {
      await handler.handle(eventOf(delivery, result), signal);
      return { outcome: "delivered", status: null, error: "" };
    } catch (err) {
      return {
        outcome: "failed",
        status: null,
        error: `the handler threw: ${err instanceof Error ? err.message : err}`,
      };
    }
  })();
  return await Promise.race([ran, over]);
}
