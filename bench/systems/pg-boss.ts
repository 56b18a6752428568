/** pg-boss on the same Postgres. It has no server: producer and worker speak to the database themselves. */
import type { BossTarget } from "../clients/pg-boss.ts";
import { emptyBy, type Statements } from "./empty-by.ts";
import type { System } from "./system.ts";

export interface BossSettings {
  setting: string;
  /** Each setting has a database of its own. */
  database: string;
  batch: number;
}

const STATEMENTS: Statements = {
  isEmpty: "SELECT NOT EXISTS (SELECT FROM pgboss.job WHERE state < 'completed') AS empty",
  clear: "TRUNCATE pgboss.job",
};

export function bossSystem({ setting, database, batch }: BossSettings): System {
  let url: Promise<string> | undefined;
  return {
    name: "pg-boss",
    setting,
    async start(ground) {
      url ??= ground.createDatabase(database);
      const target: BossTarget = { url: await url, batch };
      return { target, serverPid: undefined, ...emptyBy(target.url, STATEMENTS) };
    },
  };
}
