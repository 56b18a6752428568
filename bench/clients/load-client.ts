/** Finds who speaks to a system; a process loads the one that it needs and no other. */
import type { Client } from "./client.ts";

const CLIENTS = {
  "ai-job-broker": async () => (await import("./ai-job-broker.ts")).brokerClient,
  "graphile-worker": async () => (await import("./graphile-worker.ts")).graphileClient,
  "pg-boss": async () => (await import("./pg-boss.ts")).bossClient,
  bullmq: async () => (await import("./bullmq.ts")).bullClient,
};

export type ClientName = keyof typeof CLIENTS;

export async function loadClient(name: ClientName): Promise<Client<object>> {
  return (await CLIENTS[name]()) as Client<object>;
}
