/** What Postgres really did for a statement: the pages it touched, its own time, the scans it chose. */
import type { Sql } from "../src/store/db.ts";

export interface Scan {
  node: string;
  relation: string;
  /** Rows read, over all loops, those filtered out included. */
  rows: number;
}

export interface Plan {
  /** Pages of tables and indexes touched, in shared buffers or not. */
  buffers: number;
  /** Postgres' own time for the execution, in ms. */
  executionMs: number;
  scans: Scan[];
}

/** A query of postgres.js that has not been sent. */
export interface Unsent {
  describe(): Promise<unknown>;
}

interface PlanNode {
  "Node Type": string;
  "Relation Name"?: string;
  "Subplan Name"?: string;
  "CTE Name"?: string;
  "Shared Hit Blocks": number;
  "Shared Read Blocks": number;
  "Actual Rows": number;
  "Actual Loops": number;
  "Rows Removed by Filter"?: number;
  Plans?: PlanNode[];
}

interface Explained {
  "QUERY PLAN": [{ Plan: PlanNode; "Execution Time": number }];
}

/**
 * Runs the statement under EXPLAIN and rolls it back. `sql` has one connection.
 * Two runs, the second counts: the first one pays for what a fill leaves behind (hint bits, dead index entries).
 */
export async function planOf(sql: Sql, statement: () => Unsent): Promise<Plan> {
  const explain = () => sql<Explained[]>`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${statement() as never}`;
  await rolledBack(sql, explain);
  return readPlan(await rolledBack(sql, explain));
}

export interface Prepared {
  /** Runs the plan that was made when `prepare` was called, and rolls back. */
  plan(): Promise<Plan>;
  close(): Promise<void>;
}

/**
 * Prepares the statement now, with the plan that fits any parameters, as Postgres itself does after five executions.
 * Such a plan stays while its tables grow, until they are analyzed or truncated. `sql` has one connection.
 */
export async function prepare(sql: Sql, name: string, statement: Unsent): Promise<Prepared> {
  const { string } = (await statement.describe()) as { string: string };
  const { parameters } = statement as unknown as { parameters: unknown[] };
  const execute = `EXECUTE ${name}(${parameters.map(literal).join(", ")})`;
  const explain = () => sql.unsafe<Explained[]>(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${execute}`);
  await sql`SET plan_cache_mode = force_generic_plan`;
  await sql.unsafe(`PREPARE ${name} AS ${string}`);
  await rolledBack(sql, explain);
  return {
    plan: async () => {
      await rolledBack(sql, explain);
      return readPlan(await rolledBack(sql, explain));
    },
    close: async () => {
      await sql.unsafe(`DEALLOCATE ${name}`);
    },
  };
}

/** Runs something between BEGIN and ROLLBACK on the one connection of `sql`. */
export async function rolledBack<T>(sql: Sql, run: () => PromiseLike<T>): Promise<T> {
  await sql`BEGIN`;
  try {
    return await run();
  } finally {
    await sql`ROLLBACK`;
  }
}

function readPlan(rows: readonly Explained[]): Plan {
  const explained = rows[0]?.["QUERY PLAN"][0];
  if (explained === undefined) throw new Error("EXPLAIN answered with no plan");
  const nodes = flatten(explained.Plan);
  const read = new Set(nodes.flatMap((node) => node["CTE Name"] ?? []));
  // A node counts all below it, but a writing CTE that nobody reads runs after the top node is done.
  const counted = nodes.filter((node, at) => {
    const cte = /^CTE (.+)$/.exec(node["Subplan Name"] ?? "")?.[1];
    return at === 0 || (cte !== undefined && !read.has(cte));
  });
  return {
    buffers: counted.reduce((sum, node) => sum + node["Shared Hit Blocks"] + node["Shared Read Blocks"], 0),
    executionMs: explained["Execution Time"],
    scans: nodes.flatMap((node) => {
      const relation = node["Relation Name"];
      if (relation === undefined || !node["Node Type"].includes("Scan")) return [];
      const rowsALoop = node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0);
      return [{ node: node["Node Type"], relation, rows: Math.round(rowsALoop * node["Actual Loops"]) }];
    }),
  };
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)];
}

function literal(value: unknown): string {
  if (value === null || value === undefined) return "NULL";
  if (Array.isArray(value)) return literal(`{${value.map((item) => JSON.stringify(item)).join(",")}}`);
  if (typeof value === "object" && "value" in value) return literal(value.value);
  return `'${String(value).replaceAll("'", "''")}'`;
}
