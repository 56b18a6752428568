/** What `doctor` finds without a database: runtime, settings, tokens, the port. */
import { createServer } from "node:net";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type Config, ConfigError, configWarnings, loadConfig } from "../../config.ts";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "../../gen/grpc/health/v1/health_pb.ts";
import { type Finding, fail, ok, warn } from "../../health/finding.ts";
import { devFilePath, readDevFile } from "../dev-file.ts";
import { codeOf } from "../explain.ts";
import { isLoopback } from "../loopback.ts";
import { clientCertificate, openSession } from "../session.ts";

const SHORT_TOKEN = 16;
const HEALTH_TIMEOUT_MS = 3_000;

/** Node's version: the launcher picks it, so this is what the broker runs on too. */
export function checkNode(version: string = process.versions.node): Finding {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isEnough = major > 22 || (major === 22 && minor >= 18);
  if (isEnough) return ok("node", `Node ${version} at ${process.execPath}`);
  return fail(
    "node",
    `Node ${version} is too old`,
    "install Node 22.18 or newer, or let npm install optional dependencies",
  );
}

/** The settings; without a config the other checks make no sense. */
export function checkSettings(): { config?: Config; findings: Finding[] } {
  const slips = configWarnings().map((line) =>
    warn("settings", line, "rename it, or ignore this if it is not meant for us"),
  );
  try {
    const config = loadConfig();
    return { config, findings: [ok("settings", "all in bounds"), ...slips] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const faults = error.message.split("\n").slice(1);
    return { findings: [...faults.map((line) => fail("settings", line.trim(), "mend this setting")), ...slips] };
  }
}

/** Which doors are open, and whether their tokens can be guessed. */
export async function checkTokens(config: Config): Promise<Finding[]> {
  const dev = await readDevFile(config.dataDir);
  const sides = [
    { name: "INTERNAL_WORKER_TOKEN", list: config.workerTokens, closed: "workers and the REST endpoints are refused" },
    { name: "INTERNAL_API_TOKEN", list: config.apiTokens, closed: "nobody can dispatch or look at jobs" },
  ];
  const read =
    config.readTokens.length === 0 ? [] : [{ name: "INTERNAL_READ_TOKEN", list: config.readTokens, closed: "" }];
  return [...sides, ...read].map(({ name, list, closed }) => {
    if (list.length === 0 && dev !== undefined)
      return ok("tokens", `${name} is not set; dev uses ${devFilePath(config.dataDir)}`);
    if (list.length === 0)
      return warn("tokens", `${name} is not set: ${closed}`, `set ${name}, or use ai-job-broker dev`);
    const short = list.filter((token) => token.length < SHORT_TOKEN).length;
    if (short === 0) return ok("tokens", `${name} holds ${list.length}`);
    return warn(
      "tokens",
      `${name}: ${short} of ${list.length} can be guessed`,
      "use at least 16 random characters: openssl rand -hex 32",
    );
  });
}

/** Whether the address is safe to listen on. */
export function checkExposure(config: Config): Finding {
  const tls = config.tlsCertFile !== undefined;
  if (tls || isLoopback(config.host))
    return ok("address", `${config.host}${tls ? " with TLS" : ", this machine only"}`);
  return warn(
    "address",
    `${config.host} can be reached from outside, without TLS`,
    "set TLS_CERT_FILE and TLS_KEY_FILE, or put a proxy that speaks TLS in front",
  );
}

// Why an address cannot be listened on, by the system's code.
const WHY_NOT: Record<string, string> = {
  EACCES: "ports below 1024 need more rights: set PORT to a higher one",
  EADDRNOTAVAIL: "this machine has no such address: set HOST to one of its own, or to 0.0.0.0",
  ENOTFOUND: "there is no such host: set HOST to an address of this machine, or to 0.0.0.0",
};

/** Whether the port is free, or a broker answers there. */
export async function checkPort(config: Config): Promise<Finding> {
  const at = `${config.host}:${config.port}`;
  const code = await tryToListen(config.host, config.port);
  if (code === undefined && config.port === 0) return ok("port", "a free one is picked at the start");
  if (code === undefined) return ok("port", `${at} is free`);
  if (code !== "EADDRINUSE") {
    const words = WHY_NOT[code] ?? "give another HOST or PORT";
    return fail("port", `${at} cannot be listened on (${code})`, words);
  }
  const health = await askHealth(config);
  if (health === Serving.SERVING) return ok("port", `a broker answers at ${at}`);
  if (health === undefined && config.tlsClientCaFile !== undefined && config.brokerCertFile === undefined)
    return warn(
      "port",
      `${at} is taken, and it was not asked by what: a broker here wants a client's certificate`,
      "set BROKER_CERT_FILE and BROKER_KEY_FILE, and run doctor again",
    );
  if (health !== undefined)
    return warn("port", `a broker answers at ${at} that is not serving`, "see its log: is its database away?");
  return fail(
    "port",
    `${at} is taken by something that is no broker`,
    "set PORT to another, or stop what listens there",
  );
}

async function tryToListen(host: string, port: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const server = createServer();
  server.once("error", (error) => resolve(codeOf(error) ?? error.message));
  server.listen(port, host, () => server.close(() => resolve(undefined)));
  return await promise;
}

async function askHealth(config: Config): Promise<number | undefined> {
  const host = config.host === "0.0.0.0" || config.host === "::" ? "localhost" : config.host;
  const url = `${config.tlsCertFile ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${config.port}`;
  const session = openSession(url, { rejectUnauthorized: false, ...clientCertificate(config) });
  const transport = createGrpcTransport({ baseUrl: url, sessionManager: session, defaultTimeoutMs: HEALTH_TIMEOUT_MS });
  try {
    // The first token opens health where OPEN_INTROSPECTION is off.
    const headers = { "x-worker-token": config.workerTokens[0] ?? config.apiTokens[0] ?? "" };
    return (await createClient(Health, transport).check({}, { headers })).status;
  } catch {
    return undefined;
  } finally {
    session.abort();
  }
}
