/** An event as it is told: the id that stays, and the body. */
import { createHash } from "node:crypto";
import { statusAfter } from "../job/delivery.ts";
import { TERMINAL_KINDS } from "../job/events.ts";
import type { Delivery } from "../store/deliveries.ts";
import type { EventResult } from "../store/delivery-result.ts";
import type { EventFacts } from "../store/event-facts.ts";

type Told = EventFacts & Pick<Delivery, "eventId">;

/**
 * The same for each try and each redelivery, whoever is told; made of job, number and the event's own row, so that
 * another job which got the id of one that is long gone tells events of its own. Fit for a header, as a job id is not.
 */
export function idOf({ jobId, seq, eventId }: Pick<Told, "jobId" | "seq" | "eventId">): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([jobId, seq, eventId]))
    .digest("base64url");
  return `evt_${hash.slice(0, 27)}`;
}

/** Whether an event ends its job, so that there may be a result. */
export function isEnd(kind: Told["kind"]): boolean {
  return (TERMINAL_KINDS as readonly string[]).includes(kind);
}

/** What an event says, without the result. */
export function factsOf(event: Told) {
  return {
    event_id: idOf(event),
    job_id: event.jobId,
    seq: event.seq,
    kind: event.kind,
    job_type: event.type,
    status: statusAfter(event.kind),
    attempt: event.attempt,
    tenant_id: event.tenantId,
    source_domain: event.sourceDomain,
    source_id: event.sourceId,
    worker_id: event.workerId,
    error: event.error,
  };
}

/** The body: a Standard Webhooks payload. The result goes in as the text it is, so that its numbers stay exact. */
export function bodyOf(event: Told, result: EventResult | null): string {
  const text = result !== null && "text" in result ? (result.text ?? "null") : "null";
  const data = { ...factsOf(event), ...pointer(event.jobId, result) };
  const head = JSON.stringify({ type: `job.${event.kind}`, timestamp: event.at.toISOString() });
  return `${head.slice(0, -1)},"data":${JSON.stringify(data).slice(0, -1)},"result":${text}}}`;
}

/** Where the result is, when it is not in the body, and why not. */
function pointer(jobId: string, result: EventResult | null) {
  if (result === null || !("omitted" in result)) return {};
  return { result_omitted: result.omitted, result_pointer: { rpc: "aibroker.v1.JobService/GetJob", job_id: jobId } };
}
