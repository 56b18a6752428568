/** The shim on a real HTTP server. */
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { createShim, type ShimOptions } from "../../src/rest/shim.ts";
import { createTokens } from "../../src/tokens.ts";

export interface ShimServer {
  port: number;
  /** Lines of the log, parsed. */
  logged: Record<string, unknown>[];
  /** Answered requests that were not the shim's. */
  readonly passedOn: number;
  stop(): Promise<void>;
}

/** The token that opens it. */
export const TOKEN = "secret";

export async function startShim(options: Partial<ShimOptions> & Pick<ShimOptions, "moves">): Promise<ShimServer> {
  const logged: Record<string, unknown>[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const shim = createShim({ workerTokens: createTokens([TOKEN]), maxBodyBytes: 8 * 1024 * 1024, log, ...options });
  let passedOn = 0;
  const server = http.createServer({ keepAliveTimeout: 60_000 }, async (req, res) => {
    if (await shim(req, res)) return;
    passedOn++;
    res.writeHead(404, { "content-length": 0 }).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    logged,
    get passedOn() {
      return passedOn;
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
