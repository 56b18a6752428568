/** graphile-worker on the same Postgres. It has no server: producer and worker speak to the database themselves. */
import type { GraphileTarget } from "../clients/graphile-worker.ts";
import { emptyBy, type Statements } from "./empty-by.ts";
import type { System } from "./system.ts";

export interface GraphileSettings {
  setting: string;
  /** Of the schema `graphile_worker` lives in a database for each setting. */
  database: string;
  localQueueSize: number;
  completeJobBatchDelay: number;
}

const STATEMENTS: Statements = {
  isEmpty: "SELECT NOT EXISTS (SELECT FROM graphile_worker._private_jobs) AS empty",
  clear: "TRUNCATE graphile_worker._private_jobs",
};

export function graphileSystem({ setting, database, ...settings }: GraphileSettings): System {
  let url: Promise<string> | undefined;
  return {
    name: "graphile-worker",
    setting,
    async start(ground) {
      url ??= ground.createDatabase(database);
      const target: GraphileTarget = { url: await url, ...settings };
      return { target, serverPid: undefined, ...emptyBy(target.url, STATEMENTS) };
    },
  };
}
