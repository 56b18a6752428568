/** Whether a queue in Postgres is empty, as one statement tells. */
import { openPool } from "../../src/store/db.ts";
import type { RunningSystem } from "./system.ts";

export function emptyBy(url: string, statement: string): Pick<RunningSystem, "isEmpty" | "stop"> {
  const sql = openPool({ url, statementTimeoutMs: 60_000, lockTimeoutMs: 5_000, applicationName: "bench" }, 1);
  return {
    async isEmpty() {
      const [row] = await sql.unsafe<{ empty: boolean }[]>(statement);
      return row?.empty === true;
    },
    stop: () => sql.end(),
  };
}
