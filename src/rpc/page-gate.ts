/** The gate for paths that are no RPC: open to whoever may call one that tells as much. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { ConnectError } from "@connectrpc/connect";
import { AdminService } from "../gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../gen/aibroker/v1/job_service_pb.ts";
import type { Gate } from "./auth.ts";
import type { CallRecorder } from "./call-recorder.ts";
import { reasonIn } from "./own-errors.ts";
import { refuseByGate } from "./refusals.ts";

const LIKE = {
  /** For tokens of operators alone. */
  operators: { service: AdminService },
  /** For tokens that only read, too. */
  readers: { service: JobService, method: JobService.method.getJob },
};

export interface PageGateOptions {
  gate: Gate;
  opensTo: keyof typeof LIKE;
  /** As the page is counted. */
  name: string;
  calls: CallRecorder;
}

/** Answers a request that the gate does not let in, and returns true; leaves any other untouched. */
export function createPageGate({ gate, opensTo, name, calls }: PageGateOptions) {
  return (req: IncomingMessage, res: ServerResponse): boolean => {
    const refusal = refusalBy(gate, opensTo, req);
    if (refusal === undefined) return false;
    calls.failed(name, reasonIn(refusal));
    refuseByGate(req, res, refusal);
    return true;
  };
}

function refusalBy(gate: Gate, opensTo: keyof typeof LIKE, { headers }: IncomingMessage): ConnectError | undefined {
  try {
    gate({ ...LIKE[opensTo], requestHeader: { get: (name) => headers[name]?.toString() ?? null } });
    return undefined;
  } catch (err) {
    if (err instanceof ConnectError) return err;
    throw err;
  }
}
