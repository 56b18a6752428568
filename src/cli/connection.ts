/** The client commands' way to a broker: gRPC over one HTTP/2 connection that is closed when the command is done. */
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type ClientConfig, DEFAULT_BROKER_URL, loadClientConfig } from "../config.ts";
import { AdminService } from "../gen/aibroker/v1/admin_service_pb.ts";
import { JobService } from "../gen/aibroker/v1/job_service_pb.ts";
import { readDevFile } from "./dev-file.ts";
import { explainCall } from "./explain.ts";
import { clientCertificate, openSession } from "./session.ts";

const CALL_TIMEOUT_MS = 30_000;

export interface Connection {
  jobs: Client<typeof JobService>;
  admin: Client<typeof AdminService>;
  /** Ends the connection, whose other side may be gone without a word; the next call makes another. */
  hangUp(): void;
}

/** Where a broker is and what opens it. */
export interface Target {
  url: string;
  token: string | undefined;
}

/** BROKER_URL and BROKER_TOKEN; where they are unset, what `dev` left in the data folder, so that it works at once. */
export async function findTarget(config: ClientConfig = loadClientConfig()): Promise<Target> {
  const dev = await readDevFile(config.dataDir);
  const url = config.brokerUrl ?? dev?.url ?? DEFAULT_BROKER_URL;
  // The dev token goes to the dev broker only: another address is another broker, which has no business with it.
  const devToken = sameAddress(dev?.url, url) ? dev?.apiToken : undefined;
  return { url, token: config.brokerToken ?? devToken };
}

/** Calls the broker and closes the connection. What goes wrong comes out as a CliError: where, why and what to do. */
export async function withBroker<T>(use: (broker: Connection) => Promise<T>): Promise<T> {
  const config = loadClientConfig();
  const target = await findTarget(config);
  const session = openSession(target.url, clientCertificate(config));
  const transport = createGrpcTransport({
    baseUrl: target.url,
    sessionManager: session,
    interceptors: [sendToken(target.token)],
    defaultTimeoutMs: CALL_TIMEOUT_MS,
  });
  try {
    return await use({
      jobs: createClient(JobService, transport),
      admin: createClient(AdminService, transport),
      hangUp: () => session.abort(),
    });
  } catch (error) {
    throw explainCall(error, target);
  } finally {
    session.abort();
  }
}

function sendToken(token: string | undefined): Interceptor {
  return (next) => (request) => {
    if (token !== undefined) request.header.set("x-worker-token", token);
    return next(request);
  };
}

function sameAddress(a: string | undefined, b: string): boolean {
  return a !== undefined && new URL(a).origin === new URL(b).origin;
}
