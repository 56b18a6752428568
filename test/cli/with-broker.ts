/** A real broker for the client commands, in this process, on this file's database. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { startBroker } from "../../src/broker.ts";
import { loadConfig } from "../../src/config.ts";
import { test as base } from "../support/db.ts";
import { until } from "../support/until.ts";
import { type Ran, type Running, runHere } from "./run-cli.ts";

export const WORKER_TOKEN = "worker-token-of-the-cli-tests";
export const API_TOKEN = "api-token-of-the-cli-tests";

export interface Served {
  url: string;
  /** What a client command needs in its environment. */
  env: { BROKER_URL: string; BROKER_TOKEN: string };
  /** Runs a client command against it, with the api token unless told otherwise. */
  cli(args: string[], env?: Record<string, string>): Promise<Ran>;
}

/** The address that serve or dev has printed. */
export async function addressOf(running: Running): Promise<string> {
  const ask = () => /listening on (\S+)/.exec(running.stdout())?.[1] ?? (running.child.exitCode !== null && "gone");
  const address = await until("the broker has printed its address", ask, 30_000);
  if (address === "gone") throw new Error(`the broker is gone: ${running.stderr()}`);
  return address;
}

export const test = base.extend<{ served: Served; folder: string }>({
  folder: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), "aibroker-cli-"));
    await use(folder);
    await rm(folder, { recursive: true });
  },
  served: [
    async ({ url: databaseUrl }, use) => {
      const tokens = { INTERNAL_WORKER_TOKEN: WORKER_TOKEN, INTERNAL_API_TOKEN: API_TOKEN };
      const config = loadConfig({ PORT: "0", ...tokens });
      const broker = await startBroker({ config, databaseUrl, log: pino({ level: "silent" }) });
      const env = { BROKER_URL: broker.url, BROKER_TOKEN: API_TOKEN };
      await use({ url: broker.url, env, cli: (args, more) => runHere(args, { ...env, ...more }) });
      await broker.stop();
    },
    { scope: "file" },
  ],
});

/** Somebody else's server, on a free port. It closes every connection at once. */
export async function listenSomewhere(): Promise<Server> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1", resolve);
  await promise;
  return server;
}
