/** BullMQ on a Redis of its own, where a redis-server is found. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Queue } from "bullmq";
import { type BullTarget, QUEUE } from "../clients/bullmq.ts";
import type { System } from "./system.ts";

export interface BullSettings {
  setting: string;
  /** Of redis-server. */
  redis: string[];
}

export function bullSystem({ setting, redis }: BullSettings): System {
  const missing = hasRedis() ? undefined : "no redis-server was found on this machine";
  return {
    name: "bullmq",
    // The tables say it, too.
    setting: missing === undefined ? setting : `${setting}: ${missing}`,
    missing,
    async start(ground) {
      // A new folder each time, so that nothing of an earlier run is read.
      const folder = mkdtempSync(join(ground.folder, "redis-"));
      const path = join(folder, "s");
      const args = ["--port", "0", "--unixsocket", path, "--dir", folder, "--save", "", ...redis];
      const server = spawn("redis-server", args, { stdio: ["ignore", "ignore", 2] });
      const gone = once(server, "exit");
      const kill = () => void server.kill("SIGKILL");
      process.once("exit", kill);
      server.once("exit", () => process.off("exit", kill));
      await untilItListens(path);
      const target: BullTarget = { path };
      const queue = new Queue(QUEUE, { connection: { path } });
      return {
        target,
        serverPid: server.pid,
        async isEmpty() {
          const counts = await queue.getJobCounts("wait", "active", "prioritized", "delayed");
          return Object.values(counts).every((count) => count === 0);
        },
        tables: undefined,
        async stop() {
          await queue.close();
          server.kill("SIGTERM");
          await gone;
        },
      };
    },
  };
}

function hasRedis(): boolean {
  return spawnSync("redis-server", ["--version"], { stdio: "ignore" }).status === 0;
}

async function untilItListens(path: string): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    const socket = createConnection(path);
    const connected = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (connected) return;
    await sleep(10);
  }
  throw new Error("redis-server did not begin to listen within 5 s");
}
