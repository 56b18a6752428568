/** Who may call what. Runs as Connect's request gate: before a byte of the request's body is read. */
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { BrokerError } from "../errors.ts";
import { AdminService } from "../gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../gen/aibroker/v1/worker_service_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { createTokens, type TokenCheck } from "../tokens.ts";
import { toConnectError } from "./errors.ts";

export interface GateOptions {
  /** Open WorkerService. */
  workerTokens: TokenCheck;
  /** Open JobService and AdminService. */
  apiTokens: TokenCheck;
  /** Open what changes nothing there; absent: there are none. */
  readTokens?: TokenCheck;
  /** Whether health and reflection answer without a token; default true. False: any valid token opens them. */
  openIntrospection?: boolean;
}

/** Throws the ConnectError that refuses a call, or lets it pass. A call without a method is none that only reads. */
export type Gate = (call: {
  service: HandlerContext["service"];
  method?: HandlerContext["method"];
  requestHeader: SentHeader;
}) => void;

type SentHeader = Pick<Headers, "get">;
type Side = "worker" | "api" | "introspection";
type Role = "worker" | "api" | "read";
type Checks = Record<Role, TokenCheck>;

const SIDES = new Map<string, Side>([
  [WorkerService.typeName, "worker"],
  [JobService.typeName, "api"],
  [AdminService.typeName, "api"],
  [Health.typeName, "introspection"],
  [ServerReflection.typeName, "introspection"],
  [ServerReflectionAlpha.typeName, "introspection"],
]);

const SETTINGS = { worker: "INTERNAL_WORKER_TOKEN", api: "INTERNAL_API_TOKEN", read: "INTERNAL_READ_TOKEN" } as const;
const ROLES = Object.keys(SETTINGS) as Role[];

/**
 * The gate of every RPC. In this order: a side without a configured token is UNAVAILABLE (TOKEN_NOT_CONFIGURED), a
 * missing or unknown token UNAUTHENTICATED (BAD_TOKEN), a token of another role PERMISSION_DENIED (WRONG_ROLE).
 * The token travels in `x-worker-token` or as `authorization: Bearer`; where both are sent, one that fits is enough.
 */
export function createGate(options: GateOptions): Gate {
  const { workerTokens, apiTokens, readTokens = createTokens([]), openIntrospection = true } = options;
  const checks = { worker: workerTokens, api: apiTokens, read: readTokens };
  return ({ service, method, requestHeader }) => {
    // A service that nobody gave a side to is closed like the operators' own.
    const side = SIDES.get(service.typeName) ?? "api";
    const refusal =
      side === "introspection"
        ? openIntrospection
          ? undefined
          : refuseIntrospection(checks, sentTokens(requestHeader))
        : refuseSide(side, method !== undefined && onlyReads(method), checks, sentTokens(requestHeader));
    if (refusal !== undefined) throw toConnectError(refusal);
  };
}

/** Whether a caller's token opens nothing but what changes nothing. */
export function createReadOnly(apiTokens: TokenCheck): (requestHeader: SentHeader) => boolean {
  return (requestHeader) => !anyMatches(apiTokens, sentTokens(requestHeader));
}

/** Methods that say so in the protos; and the watches, which are streams and so cannot be asked for by GET. */
function onlyReads({ idempotency, methodKind }: HandlerContext["method"]): boolean {
  return idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS || methodKind === "server_streaming";
}

function refuseSide(side: "worker" | "api", reads: boolean, checks: Checks, sent: string[]): BrokerError | undefined {
  const opening: Role[] = side === "api" && reads ? ["api", "read"] : [side];
  const setting = SETTINGS[side];
  if (!opening.some((role) => checks[role].configured)) {
    const text = `this side of the broker is closed: ${setting} is not configured; set it and restart the broker`;
    return new BrokerError("TOKEN_NOT_CONFIGURED", text);
  }
  const fitting = rolesOf(checks, sent);
  if (opening.some((role) => fitting.includes(role))) return undefined;
  const [other] = fitting;
  if (other === undefined) return badToken(sent, setting);
  const what =
    other === "read" && side === "api" ? "only reads, and this changes something" : "does not open this service";
  return new BrokerError("WRONG_ROLE", `a token of ${SETTINGS[other]} ${what}; send one of ${setting}`);
}

function refuseIntrospection(checks: Checks, sent: string[]): BrokerError | undefined {
  const setting = `${SETTINGS.worker} or ${SETTINGS.api}`;
  if (!ROLES.some((role) => checks[role].configured)) {
    const text = `health and reflection are closed to callers without a token, and ${setting} is not configured`;
    return new BrokerError("TOKEN_NOT_CONFIGURED", text);
  }
  return rolesOf(checks, sent).length > 0 ? undefined : badToken(sent, setting);
}

/** All checks always run, so the time tells nothing about the tokens of the other roles. */
function rolesOf(checks: Checks, sent: string[]): Role[] {
  return ROLES.filter((role) => anyMatches(checks[role], sent));
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

function sentTokens(header: SentHeader): string[] {
  const bearer = /^bearer +(.*)$/i.exec(header.get("authorization") ?? "")?.[1];
  return [header.get("x-worker-token"), bearer].filter((token): token is string => !!token);
}
