/** The rooms of src/ and who may enter which: imports run one way. */
import { importsOf, place, resolveFrom, type Source } from "./source.ts";

type Entry = "values" | "types";

/** Row: who imports. Cell: from where, and whether at run time. What is not here is not allowed. */
export const ROOMS: Readonly<Record<string, Readonly<Record<string, Entry>>>> = {
  main: { cli: "values" },
  cli: {
    client: "values",
    broker: "values",
    config: "values",
    health: "values",
    store: "values",
    gen: "values",
    job: "types",
    errors: "values",
    version: "values",
    "short-duration": "values",
  },
  broker: {
    rpc: "values",
    rest: "values",
    loops: "values",
    dispatch: "values",
    metrics: "values",
    webhooks: "values",
    web: "values",
    store: "values",
    tokens: "values",
    config: "types",
    version: "values",
  },
  rpc: {
    dispatch: "values",
    health: "values",
    store: "values",
    job: "values",
    errors: "values",
    tokens: "values",
    tracing: "values",
    webhooks: "types",
    gen: "values",
  },
  rest: { dispatch: "types", store: "types", job: "values", errors: "values", tokens: "types" },
  health: { store: "values", "short-duration": "values" },
  web: {},
  metrics: { dispatch: "types", store: "values", errors: "types" },
  webhooks: { store: "values", job: "values" },
  loops: { dispatch: "types", store: "values", job: "values", errors: "values" },
  dispatch: { store: "values", tracing: "values", job: "values", errors: "values" },
  store: { job: "values", errors: "values" },
  client: { tracing: "values", gen: "values" },
  server: { broker: "values", config: "values", store: "values", job: "values", webhooks: "types" },
  testing: { broker: "values", config: "values", store: "values", client: "values" },
  config: { job: "values" },
  tokens: {},
  errors: {},
  "short-duration": {},
  version: {},
  tracing: {},
  job: {},
  gen: {},
};

/** Packages that only some rooms import at run time; every other one that ships is free to all but job. */
export const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  postgres: ["store"],
  "drizzle-orm": ["store"],
  commander: ["cli"],
  "@connectrpc/connect": ["rpc", "client", "cli"],
  "@connectrpc/connect-node": ["rpc", "client", "cli"],
  "@bufbuild/protobuf": ["rpc", "client", "cli", "gen"],
  "@grpc/grpc-js": ["client"],
  "tesseract.js": ["cli"],
  "prom-client": ["metrics"],
  "@aws-sdk/client-ec2": ["loops"],
  "@opentelemetry/api": ["tracing"],
  pino: ["cli", "broker", "server", "testing"],
};

/** `src/store/db.ts` is in the room store, `src/config.ts` in config; undefined outside src. */
export function roomOf(path: string): string | undefined {
  return /^src\/([^/]+?)(?:\.ts)?(?:\/|$)/.exec(path)?.[1];
}

/** Imports that go the wrong way. `shipped` names the packages that an installed broker has. */
export function directionFaults(source: Source, shipped: readonly string[]): string[] {
  const from = roomOf(source.path);
  if (from === undefined) return [];
  const allowed = ROOMS[from];
  if (allowed === undefined)
    return [`${source.path}: no room '${from}' in test/tidy/rooms.ts: add it, with its arrows`];
  return importsOf(source).flatMap(({ specifier, typeOnly, start }) => {
    const fault = specifier.startsWith(".")
      ? relativeFault(from, allowed, roomOf(resolveFrom(source.path, specifier)), typeOnly)
      : packageFault(from, specifier, typeOnly, shipped);
    return fault === undefined ? [] : [`${place(source, start)}: ${fault} ('${specifier}')`];
  });
}

function relativeFault(
  from: string,
  allowed: Readonly<Record<string, Entry>>,
  to: string | undefined,
  typeOnly: boolean,
): string | undefined {
  if (to === from) return undefined;
  if (to === undefined) return `${from} imports from outside src/`;
  if (allowed[to] === undefined) return `${from} may not import ${to}: pass what it needs in as an argument`;
  return allowed[to] === "types" && !typeOnly ? `${from} may import only types of ${to}` : undefined;
}

function packageFault(
  from: string,
  specifier: string,
  typeOnly: boolean,
  shipped: readonly string[],
): string | undefined {
  if (from === "job") return "job is pure and imports nothing";
  if (specifier.startsWith("node:") || typeOnly) return undefined;
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  if (!shipped.includes(name))
    return `${name} is no dependency of the package (a devDependency is not installed there)`;
  return PACKAGES[name]?.includes(from) === false ? `${name} belongs to ${PACKAGES[name].join(", ")}` : undefined;
}
