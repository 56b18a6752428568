/** pg-boss on the same Postgres. It has no server: producer and worker speak to the database themselves. */
import type { BossTarget } from "../clients/pg-boss.ts";
import { emptyBy } from "./empty-by.ts";
import type { System } from "./system.ts";

export function bossSystem({ setting, batch }: { setting: string; batch: number }): System {
  let url: Promise<string> | undefined;
  return {
    name: "pg-boss",
    setting,
    async start(ground) {
      url ??= ground.createDatabase(`boss_${batch}`);
      const target: BossTarget = { url: await url, batch };
      const look = emptyBy(target.url, "SELECT NOT EXISTS (SELECT FROM pgboss.job WHERE state < 'completed') AS empty");
      return { target, serverPid: undefined, ...look };
    },
  };
}
