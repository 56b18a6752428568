/** Who may call what. Runs as Connect's request gate: before a byte of the request's body is read. */
import type { HandlerContext } from "@connectrpc/connect";
import { BrokerError } from "../errors.ts";
import { AdminService } from "../gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../gen/aibroker/v1/worker_service_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import type { TokenCheck } from "../tokens.ts";
import { toConnectError } from "./errors.ts";

export interface GateOptions {
  /** Open WorkerService. */
  workerTokens: TokenCheck;
  /** Open JobService and AdminService. */
  apiTokens: TokenCheck;
  /** Whether health and reflection answer without a token; default true. False: any valid token opens them. */
  openIntrospection?: boolean;
}

/** Throws the ConnectError that refuses a call, or lets it pass. */
export type Gate = (call: { service: HandlerContext["service"]; requestHeader: Pick<Headers, "get"> }) => void;

type Side = "worker" | "api" | "introspection";

const SIDES = new Map<string, Side>([
  [WorkerService.typeName, "worker"],
  [JobService.typeName, "api"],
  [AdminService.typeName, "api"],
  [Health.typeName, "introspection"],
  [ServerReflection.typeName, "introspection"],
  [ServerReflectionAlpha.typeName, "introspection"],
]);

const SETTINGS = { worker: "INTERNAL_WORKER_TOKEN", api: "INTERNAL_API_TOKEN" } as const;

/**
 * The gate of every RPC. In this order: a side without a configured token is UNAVAILABLE (TOKEN_NOT_CONFIGURED), a
 * missing or unknown token UNAUTHENTICATED (BAD_TOKEN), a token of the other side PERMISSION_DENIED (WRONG_ROLE).
 * The token travels in `x-worker-token` or as `authorization: Bearer`; where both are sent, one that fits is enough.
 */
export function createGate({ workerTokens, apiTokens, openIntrospection = true }: GateOptions): Gate {
  const checks = { worker: workerTokens, api: apiTokens };
  return ({ service, requestHeader }) => {
    // A service that nobody gave a side to is closed like the operators' own.
    const side = SIDES.get(service.typeName) ?? "api";
    const refusal =
      side === "introspection"
        ? openIntrospection
          ? undefined
          : refuseIntrospection(checks, sentTokens(requestHeader))
        : refuseSide(side, checks, sentTokens(requestHeader));
    if (refusal !== undefined) throw toConnectError(refusal);
  };
}

type Checks = Record<"worker" | "api", TokenCheck>;

function refuseSide(side: "worker" | "api", checks: Checks, sent: string[]): BrokerError | undefined {
  const own = checks[side];
  const setting = SETTINGS[side];
  if (!own.configured) {
    const text = `this side of the broker is closed: ${setting} is not configured; set it and restart the broker`;
    return new BrokerError("TOKEN_NOT_CONFIGURED", text);
  }
  // Both checks always run, so the time tells nothing about the other side's tokens.
  const fits = anyMatches(own, sent);
  const fitsOther = anyMatches(checks[side === "worker" ? "api" : "worker"], sent);
  if (fits) return undefined;
  if (fitsOther) {
    const other = SETTINGS[side === "worker" ? "api" : "worker"];
    return new BrokerError("WRONG_ROLE", `a token of ${other} does not open this service; send one of ${setting}`);
  }
  return badToken(sent, setting);
}

function refuseIntrospection(checks: Checks, sent: string[]): BrokerError | undefined {
  const setting = `${SETTINGS.worker} or ${SETTINGS.api}`;
  if (!checks.worker.configured && !checks.api.configured) {
    const text = `health and reflection are closed to callers without a token, and ${setting} is not configured`;
    return new BrokerError("TOKEN_NOT_CONFIGURED", text);
  }
  const fitsWorker = anyMatches(checks.worker, sent);
  const fitsApi = anyMatches(checks.api, sent);
  return fitsWorker || fitsApi ? undefined : badToken(sent, setting);
}

function badToken(sent: string[], setting: string): BrokerError {
  const how = `send one of ${setting} as metadata x-worker-token, or as authorization: Bearer`;
  return new BrokerError(
    "BAD_TOKEN",
    sent.length === 0 ? `no token was sent; ${how}` : `the token is not known; ${how}`,
  );
}

function anyMatches(check: TokenCheck, sent: string[]): boolean {
  return sent.map((token) => check.matches(token)).includes(true);
}

function sentTokens(header: Pick<Headers, "get">): string[] {
  const bearer = /^bearer +(.*)$/i.exec(header.get("authorization") ?? "")?.[1];
  return [header.get("x-worker-token"), bearer].filter((token): token is string => !!token);
}
