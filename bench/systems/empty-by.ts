/** Whether a queue in Postgres is empty, as one statement tells, and how it becomes so. */
import { openPool } from "../../src/store/db.ts";
import type { RunningSystem } from "./system.ts";

export interface Statements {
  /** Answers with `empty`. */
  isEmpty: string;
  clear: string;
}

export function emptyBy(
  url: string,
  { isEmpty, clear }: Statements,
): Pick<RunningSystem, "isEmpty" | "tables" | "stop"> {
  const sql = openPool({ url, statementTimeoutMs: 60_000, lockTimeoutMs: 5_000, applicationName: "bench" }, 1);
  return {
    async isEmpty() {
      const [row] = await sql.unsafe<{ empty: boolean }[]>(isEmpty);
      return row?.empty === true;
    },
    tables: { databaseUrl: url, clear: async () => void (await sql.unsafe(clear)) },
    stop: () => sql.end(),
  };
}
