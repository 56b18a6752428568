/** What a worker is told, with types that follow from the map of job types and from the schemas. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { readAddresses } from "./addresses.ts";
import type { Handler, TypeEntry } from "./handler.ts";
import type { HandlerResult, KnownJobTypes, ReceivedPayload } from "./job-types.ts";
import type { TransportName } from "./link.ts";
import { type Logger, SILENT } from "./logger.ts";
import type { StandardSchema } from "./standard-schema.ts";

/** What the schema makes of a payload; without a schema what the map says. */
type PayloadFor<M, T, S> = [S] extends [StandardSchema<unknown, infer O>] ? O : ReceivedPayload<M, T>;
/** What the schema takes as a result; without a schema what the map says. */
type ResultFor<M, T, S> = [S] extends [StandardSchema<infer I, unknown>] ? I : HandlerResult<M, T>;

interface TypeOptions<M, T, P, R> extends TypeEntry {
  readonly handler: Handler<PayloadFor<M, T, P>, ResultFor<M, T, R>>;
}

/** The schemas that a worker with a map of its own may give: they must make what the map says. */
export type SchemasOf<M, Part extends "payload" | "result"> = {
  [T in keyof M]?: StandardSchema<unknown, M[T] extends Record<Part, infer V> ? V : never> | undefined;
};

/** One entry for each type of job in `K`; `P` and `R` are the schemas that were given. */
export type TypesOption<M, K extends string, P, R> = {
  [T in keyof P]: { readonly payload?: P[T] };
} & {
  [T in keyof R]: { readonly result?: R[T] };
} & {
  [T in K]?: TypeOptions<M, T, T extends keyof P ? P[T] : undefined, T extends keyof R ? R[T] : undefined>;
};

/** All but the types of jobs. */
export interface WorkerSettings {
  /** http://HOST:PORT or https://HOST:PORT of a broker, or of several of one database. */
  url: string | readonly string[];
  /** One of the broker's INTERNAL_WORKER_TOKEN. */
  token: string;
  /** How many jobs of all types at a time; default: the sum over the types. */
  concurrency?: number;
  /** Shown to operators, 1..128 printable characters; default HOST-PID. */
  workerId?: string;
  /** Names this one running copy; default a random UUID. Two processes must never share one. */
  instanceId?: string;
  /** A pino logger, or anything with its calls; default: silence. */
  logger?: Logger;
  /** Default grpc-js. */
  transport?: TransportName;
  /**
   * How jobs come: pushed over a stream, or asked for by long polls, which get through any proxy. Default auto: a stream,
   * and polls while streams break.
   */
  mode?: "auto" | "stream" | "poll";
  /** How long jobs may go on once the worker is to end; default 30,000. */
  graceMs?: number;
  /** SIGTERM and SIGINT end the worker in good order, a second one at once; default true. */
  signals?: boolean;
  /** Leases are let go when the event loop stands still for longer than this; default: never. */
  maxBlockMs?: number;
  /** PEM certificates to trust instead of the system's, for https. */
  ca?: string;
  /** PEM certificate chain and key, for a broker that asks for a client's certificate (TLS_CLIENT_CA_FILE). */
  cert?: string;
  key?: string;
}

export interface WorkerOptions<
  M = KnownJobTypes,
  K extends string = keyof M & string,
  P = SchemasOf<M, "payload">,
  R = SchemasOf<M, "result">,
> extends WorkerSettings {
  types: TypesOption<M, K, P, R>;
}

/** The settings with their defaults, checked. */
export type ReadyOptions = Required<Omit<WorkerSettings, "ca" | "cert" | "key" | "maxBlockMs" | "url">> & {
  url: readonly string[];
  ca: string | undefined;
  cert: string | undefined;
  key: string | undefined;
  maxBlockMs: number | undefined;
  types: ReadonlyMap<string, Required<Pick<TypeEntry, "concurrency">> & TypeEntry>;
};

const DEFAULT_GRACE_MS = 30_000;
/** The broker's bound on jobs under way for one instance. */
const MAX_IN_FLIGHT = 1_000;

/** Throws a TypeError that names the option at fault. */
export function readOptions(options: WorkerSettings & { types: Readonly<Record<string, TypeEntry>> }): ReadyOptions {
  const types = new Map(
    Object.entries(options.types).map(([type, entry]) => [type, { concurrency: 1, ...entry }] as const),
  );
  if (types.size === 0) throw new TypeError("types: give the handler of one type at least");
  for (const [type, { concurrency, handler }] of types) {
    if (typeof handler !== "function") throw new TypeError(`types.${type}.handler must be a function`);
    seats(`types.${type}.concurrency`, concurrency);
  }
  const sum = [...types.values()].reduce((all, { concurrency }) => all + concurrency, 0);
  const concurrency = options.concurrency ?? sum;
  seats(options.concurrency === undefined ? "the sum of types.*.concurrency" : "concurrency", concurrency);
  return {
    url: readAddresses(options.url),
    token: options.token,
    concurrency: Math.min(concurrency, sum),
    workerId: options.workerId ?? `${hostname()}-${process.pid}`.slice(0, 128),
    instanceId: options.instanceId ?? randomUUID(),
    logger: options.logger ?? SILENT,
    transport: options.transport ?? "grpc-js",
    mode: options.mode ?? "auto",
    graceMs: options.graceMs ?? DEFAULT_GRACE_MS,
    signals: options.signals ?? true,
    maxBlockMs: options.maxBlockMs,
    ca: options.ca,
    cert: options.cert,
    key: options.key,
    types,
  };
}

function seats(name: string, count: number): void {
  if (Number.isInteger(count) && count >= 1 && count <= MAX_IN_FLIGHT) return;
  throw new TypeError(`${name} must be a whole number from 1 to ${MAX_IN_FLIGHT}, got ${count}`);
}
