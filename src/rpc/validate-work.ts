/** The messages of a Work stream, as the sessions take them. Names of fields are those of the protos. */
import type { HelloCall } from "../dispatch/hellos.ts";
import type { Capacity } from "../dispatch/work-session.ts";
import { badField } from "../errors.ts";
import type { LeaseRef as LeaseRefMessage } from "../gen/aibroker/v1/job_pb.ts";
import type { Capacity as CapacityMessage, Hello } from "../gen/aibroker/v1/worker_service_pb.ts";
import { LIMITS } from "../job/limits.ts";
import type { Beat, LeaseRef } from "../store/rows.ts";
import { integer, shown, text, workerId } from "./validate.ts";
import { jobType } from "./validate-job.ts";
import { beats, claimTypes, leaseRefs } from "./validate-worker.ts";

export function helloCall(hello: Hello): HelloCall {
  return {
    workerId: workerId(hello.workerId, "hello.worker_id"),
    instanceId: instanceId(hello.instanceId),
    types: claimTypes("hello.types", hello.types),
    capacity: capacity("hello", hello),
    held: heldLeases(hello.held),
    client: text("hello.client", hello.client, LIMITS.client),
  };
}

/** Visible ASCII, so that it passes unharmed through logs and messages between brokers. */
function instanceId(value: string): string | null {
  if (value === "") return null;
  if (value.length <= LIMITS.instanceId && /^[!-~]+$/.test(value)) return value;
  const what = `must be 1..${LIMITS.instanceId} visible ASCII characters without spaces, got ${shown(value)}`;
  throw badField("hello.instance_id", `${what}: a random UUID will do`);
}

function heldLeases(held: readonly LeaseRefMessage[]): LeaseRef[] {
  if (held.length === 0) return [];
  const leases = leaseRefs(held, "hello.held");
  // Twice the same lease would count twice.
  if (new Set(leases.map(({ jobId, token }) => `${jobId}\0${token}`)).size < leases.length) {
    throw badField("hello.held", "names a lease twice: name each lease that is held once");
  }
  return leases;
}

export function capacity(path: string, message: Pick<CapacityMessage, "maxInFlight" | "maxByType">): Capacity {
  const limits = Object.entries(message.maxByType);
  if (limits.length > LIMITS.typesPerClaim) {
    throw badField(`${path}.max_by_type`, `must name at most ${LIMITS.typesPerClaim} types, got ${limits.length}`);
  }
  const maxByType = limits.map(([type, max]): [string, number] => {
    const at = `${path}.max_by_type[${shown(type)}]`;
    return [jobType(at, type), integer(at, max, 0, LIMITS.batch)];
  });
  return {
    maxInFlight: integer(`${path}.max_in_flight`, message.maxInFlight, 0, LIMITS.batch),
    maxByType: new Map(maxByType),
  };
}

/** A heartbeat over a stream may be empty: it asks whether the broker is there. */
export function streamBeats(leases: readonly LeaseRefMessage[]): Beat[] {
  return leases.length === 0 ? [] : beats(leases, "heartbeat.leases");
}
