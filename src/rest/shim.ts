/**
 * The legacy REST endpoints, thin: they speak HTTP as the Django app before them did, check by check and word for word
 * (test/rest/django-golden.json holds its recorded answers), and leave every decision to the moves.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import type { Moves } from "../dispatch/moves.ts";
import { BrokerError, type Reason } from "../errors.ts";
import type { TokenCheck } from "../tokens.ts";
import { detail, send } from "./answer.ts";
import { isBodyless, readBody } from "./body.ts";
import { charsetOf } from "./charset.ts";
import { type BodyReader, type Fields, readerOf } from "./data.ts";
import { type Endpoint, endpointOf, queryOf } from "./endpoints.ts";
import { headerOf } from "./headers.ts";
import { negotiate } from "./negotiate.ts";
import { NO_JOB, next } from "./next.ts";
import type { PyValue } from "./python-text.ts";
import { parseQuery } from "./query.ts";
import { Refusal, reasonOf } from "./refusal.ts";
import { result } from "./result.ts";
import { canHoldLeases, checkWorkerId, workerIdOf } from "./worker-id.ts";

export { SHIM_PATHS } from "./endpoints.ts";

export interface ShimOptions {
  moves: Pick<Moves, "legacyNext" | "legacyReport" | "legacyStatus" | "release">;
  workerTokens: TokenCheck;
  /** A larger body is answered with 413. */
  maxBodyBytes: number;
  /** A body must be here within this time. */
  bodyTimeoutMs?: number;
  log: Logger;
  /** Told of each worker that polls or reports with a valid token. */
  seen?: (workerId: string) => void;
  /** Told of each answer that is an error. */
  failed?: (method: string, reason: Reason) => void;
}

/** One request on its way through the checks. */
interface Call {
  req: IncomingMessage;
  res: ServerResponse;
  endpoint: Endpoint;
  indent: number;
}

const BODY_TIMEOUT_MS = 60_000;

/**
 * The handler for every request that is no RPC: answers those to its own paths and resolves true, resolves false for
 * any other path. It never rejects and never throws.
 */
export function createShim(options: ShimOptions): (req: IncomingMessage, res: ServerResponse) => Promise<boolean> {
  return async (req, res) => {
    const endpoint = endpointOf(req.url ?? "");
    if (endpoint === undefined) return false;
    const call: Call = { req, res, endpoint, indent: 0 };
    try {
      await handle(options, call);
    } catch (err) {
      await refuse(options, call, err);
    }
    return true;
  };
}

async function handle(options: ShimOptions, call: Call): Promise<void> {
  const { req, endpoint } = call;
  const method = req.method ?? "";
  const format = parseQuery(queryOf(req.url ?? ""), charsetOf(undefined)).get("format");
  call.indent = negotiate(headerOf(req, "accept"), format);
  if (!endpoint.methods.includes(method)) throw new Refusal(405, `Method "${method}" not allowed.`);
  if (method === "OPTIONS") return void (await answer(call, endpoint.description));
  checkToken(options.workerTokens, req);
  if (endpoint.name === "next") await handleNext(options, call);
  else await handleResult(options, call);
}

function checkToken(tokens: TokenCheck, req: IncomingMessage): void {
  if (!tokens.configured) throw new Refusal(503, "INTERNAL_WORKER_TOKEN not configured");
  if (!tokens.matches(headerOf(req, "x-worker-token"))) throw new Refusal(401, "Unauthorized worker");
}

async function handleNext(options: ShimOptions, call: Call): Promise<void> {
  const workerId = workerIdOf(call.req);
  checkWorkerId(workerId);
  // HEAD claims nothing: its answer has no room for the job.
  if (call.req.method === "HEAD") return void (await answer(call, NO_JOB));
  options.seen?.(workerId);
  await next(options, workerId, (body) => answer(call, body));
}

async function handleResult(options: ShimOptions, call: Call): Promise<void> {
  const fields = await readFields(options, call.req);
  if (fields === undefined) return;
  const workerId = workerIdOf(call.req);
  if (canHoldLeases(workerId)) options.seen?.(workerId);
  await answer(call, await result(options.moves, workerId, fields));
}

/** Undefined when the client left. A body that is empty has no fields, whatever its type. */
async function readFields(options: ShimOptions, req: IncomingMessage): Promise<Fields | undefined> {
  if (isBodyless(req)) return new Map();
  const contentType = req.headers["content-type"] ?? "";
  // A body that announces its length has one, so its type is checked before it is read.
  let reader: BodyReader | undefined;
  if (req.headers["content-length"] !== undefined) reader = readerOf(contentType);
  const body = await readBody(req, options.maxBodyBytes, options.bodyTimeoutMs ?? BODY_TIMEOUT_MS);
  if (body === undefined) return undefined;
  return body.length === 0 ? new Map() : (reader ?? readerOf(contentType))(body);
}

function answer({ req, res, endpoint, indent }: Call, body: PyValue): Promise<boolean> {
  return send(req, res, { status: 200, body, indent, allow: endpoint.allow });
}

async function refuse({ log, failed }: ShimOptions, call: Call, err: unknown): Promise<void> {
  const { req, res, endpoint, indent } = call;
  const base = { indent, allow: endpoint.allow };
  const reason = reasonOf(err);
  failed?.(`rest/${endpoint.name}`, reason);
  if (err instanceof Refusal) {
    const { status, message, close } = err;
    await send(req, res, { ...base, status, body: detail(message), close });
    return;
  }
  if (err instanceof BrokerError) {
    const away = err.reason === "DATABASE_DOWN" || err.reason === "SHUTTING_DOWN";
    const retryAfterMs = away ? (err.retryAfterMs ?? 1_000) : undefined;
    await send(req, res, { ...base, status: away ? 503 : 400, body: detail(err.message), retryAfterMs });
    return;
  }
  log.error({ err, reason, path: req.url, method: req.method }, "a REST request failed through a fault of the broker");
  await send(req, res, {
    ...base,
    status: 500,
    body: detail("Internal error: a fault of the broker; it is in its log"),
  });
}
