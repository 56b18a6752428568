/** Calls as commands for a terminal. The token is a variable there, so that none is ever copied. */
import type { AIJob } from "../../../src/gen/aibroker/v1/job_pb.ts";
import { brokerUrl } from "../../wire/calls.ts";

export function getCall(jobId: string): string {
  return command("JobService/GetJob", JSON.stringify({ job_id: jobId }));
}

/** Dispatches the same work again, as a new job. */
export function dispatchCall(job: AIJob): string {
  const { type, payloadJson, tenantId, sourceDomain, sourceId, priority, maxAttempts } = job;
  const body = {
    type,
    payload_json: payloadJson,
    tenant_id: tenantId,
    source_domain: sourceDomain,
    source_id: sourceId,
    priority,
    max_attempts: maxAttempts,
  };
  return command("JobService/Dispatch", JSON.stringify({ jobs: [body] }));
}

function command(method: string, body: string): string {
  const { protocol, hostname, port } = new URL(brokerUrl);
  const isPlain = protocol === "http:";
  const host = `${hostname}:${port || (isPlain ? "80" : "443")}`;
  const quoted = `'${body.replaceAll("'", "'\\''")}'`;
  return `grpcurl ${isPlain ? "-plaintext " : ""}-H "x-worker-token: $API_TOKEN" -d ${quoted} ${host} aibroker.v1.${method}`;
}
