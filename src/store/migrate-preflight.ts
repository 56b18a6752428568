/** Looks before anything is written: may this database be adopted, and if not, what exactly differs. */
import type { Sql } from "./db.ts";
import {
  ADDED,
  AI_JOB,
  AI_RESULT,
  DJANGO_MIGRATIONS,
  EXAM_SHEET,
  type ExpectedTable,
  LEFT_BY_0003,
} from "./migrate-expected.ts";
import { TRIGGER_FUNCTIONS } from "./triggers.ts";

/** Every way in which tables that are there differ from what Django's migrations 0001..0005 make; empty: adoptable. */
export async function adoptionDifferences(sql: Sql): Promise<string[]> {
  const found: string[] = [];
  const job = await tableDifferences(sql, AI_JOB);
  const result = await tableDifferences(sql, AI_RESULT);
  found.push(...(job ?? ["table ai_job is missing"]), ...(result ?? ["table ai_result is missing"]));
  found.push(...(await freshDifferences(sql)));
  if (job !== undefined) found.push(...(await jobExtras(sql)), ...(await djangoLedger(sql)));
  return found;
}

/** Names that some of our migrations would make and that are taken already. */
export async function takenNames(sql: Sql, migrations: string[]): Promise<string[]> {
  const added = migrations.flatMap((tag) => ADDED[tag] ?? []);
  const columns = await sql`SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('ai_job')
    AND NOT attisdropped AND attname = ANY(${added.flatMap((one) => one.columns)}::text[]) ORDER BY attnum`;
  const relations = await sql`SELECT name, c.relkind::text AS kind
    FROM unnest(${added.flatMap((one) => one.relations)}::text[]) name
    JOIN pg_class c ON c.oid = to_regclass(name) ORDER BY name`;
  return [
    ...columns.map((row) => `column ai_job.${row["attname"]} is there already, not made by a migration`),
    ...relations.map((row) => `${kindName(row["kind"])} ${row["name"]} is there already, not made by a migration`),
  ];
}

/** What stands in the way on a database with neither ai_job nor ai_result. */
export async function freshDifferences(sql: Sql): Promise<string[]> {
  const sheet = (await tableDifferences(sql, EXAM_SHEET)) ?? [];
  const taken = await takenNames(sql, Object.keys(ADDED));
  const functions = await sql`SELECT DISTINCT proname FROM pg_proc
    WHERE proname = ANY(${[...TRIGGER_FUNCTIONS]}::text[]) AND pg_function_is_visible(oid) ORDER BY 1`;
  return [
    ...sheet,
    ...taken,
    ...functions.map((row) => `function ${row["proname"]} is there already, not made by a migration`),
  ];
}

const KINDS: Record<string, string> = { r: "table", p: "partitioned table", v: "view", m: "materialized view" };
const kindName = (kind: unknown): string =>
  KINDS[String(kind)] ??
  (kind === "i" ? "index" : kind === "f" ? "foreign table" : kind === "S" ? "sequence" : "relation");

/** Undefined when there is no such table. */
async function tableDifferences(sql: Sql, expected: ExpectedTable): Promise<string[] | undefined> {
  const [table] = await sql`SELECT oid, relkind::text AS kind, relpersistence::text AS persistence FROM pg_class
    WHERE oid = to_regclass(${expected.name})`;
  if (table === undefined) return undefined;
  if (table["kind"] !== "r") return [`${expected.name} is a ${kindName(table["kind"])}, not a plain table`];
  const found = await columnDifferences(sql, expected);
  if (table["persistence"] !== "p") found.push(`${expected.name} is not a permanent, logged table`);
  const uniques = await sql`SELECT (SELECT array_agg(a.attname::text ORDER BY a.attname)::text FROM pg_attribute a
      WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey::int2[])) AS columns
    FROM pg_index i WHERE i.indrelid = to_regclass(${expected.name}) AND i.indisunique AND i.indisvalid
      AND i.indnatts = i.indnkeyatts AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indimmediate`;
  const sets = new Set(uniques.map((row) => row["columns"]));
  for (const unique of expected.unique) {
    if (!sets.has(`{${[...unique].sort().join(",")}}`)) {
      found.push(`${expected.name} has no unique key on (${unique.join(", ")})`);
    }
  }
  if (expected.reference !== undefined) {
    const { column, table: target } = expected.reference;
    const keys = await sql`SELECT 1 FROM pg_constraint c WHERE c.contype = 'f' AND c.convalidated
      AND c.conrelid = to_regclass(${expected.name}) AND c.confrelid = to_regclass(${target})
      AND (SELECT array_agg(attname::text)::text FROM pg_attribute WHERE attrelid = c.conrelid AND attnum = ANY(c.conkey))
        = ${`{${column}}`}
      AND (SELECT array_agg(attname::text)::text FROM pg_attribute WHERE attrelid = c.confrelid AND attnum = ANY(c.confkey))
        = '{id}'`;
    if (keys.length === 0) found.push(`${expected.name}.${column} has no foreign key to ${target}.id`);
  }
  return found;
}

async function columnDifferences(sql: Sql, expected: ExpectedTable): Promise<string[]> {
  const rows = await sql`SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
      a.attnotnull AS required, a.atthasdef OR a.attidentity <> '' AS filled, a.attgenerated <> '' AS generated,
      a.attidentity = 'a' AS always
    FROM pg_attribute a
    WHERE a.attrelid = to_regclass(${expected.name}) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`;
  const there = new Map(rows.map((row) => [String(row["name"]), row]));
  const found: string[] = [];
  for (const column of expected.columns) {
    const at = `${expected.name}.${column.name}`;
    const row = there.get(column.name);
    if (row === undefined) {
      found.push(`column ${at} is missing`);
      continue;
    }
    if (
      row["type"] !== column.type &&
      !(column.name === "id" && expected === EXAM_SHEET && row["type"] === "integer")
    ) {
      found.push(`column ${at} is ${row["type"]}, not ${column.type}`);
    }
    if (row["required"] === column.nullable) {
      found.push(
        `column ${at} is ${column.nullable ? "NOT NULL and should allow null" : "nullable and should be NOT NULL"}`,
      );
    }
    if (row["generated"] || row["always"]) found.push(`column ${at} is GENERATED ALWAYS`);
    if (column.name === "id" && !row["filled"]) found.push(`column ${at} is neither an identity nor a serial column`);
  }
  for (const [name, row] of there) {
    if (expected.columns.some((column) => column.name === name)) continue;
    if (row["required"] && !row["filled"]) {
      found.push(`column ${expected.name}.${name} is not known here, and NOT NULL without a default`);
    }
  }
  return found;
}

/** What is on ai_job beside its columns and would break a move. */
async function jobExtras(sql: Sql): Promise<string[]> {
  const checks = await sql`SELECT conname, pg_get_constraintdef(oid) AS text FROM pg_constraint
    WHERE conrelid = to_regclass('ai_job') AND contype IN ('c', 'x')`;
  const left = await sql`SELECT name FROM unnest(${LEFT_BY_0003}::text[]) name WHERE to_regclass(name) IS NOT NULL`;
  const rules =
    await sql`SELECT relrowsecurity AND relforcerowsecurity AS forced, EXISTS (SELECT FROM pg_inherits WHERE inhparent = pg_class.oid) AS parent,
      relispartition AS partition FROM pg_class WHERE oid = to_regclass('ai_job')`;
  const [place] = await sql`SELECT relnamespace::regnamespace::text AS schema, current_schema()::text AS first,
      relnamespace = current_schema()::regnamespace AS same FROM pg_class WHERE oid = to_regclass('ai_job')`;
  const found = checks.map(
    (row) => `constraint ai_job.${row["conname"]} might refuse the broker's rows: ${row["text"]}`,
  );
  found.push(...left.map((row) => `index ${row["name"]} is of Django's migration 0003; 0004 drops it`));
  if (!place?.["same"]) {
    found.push(`ai_job is in schema ${place?.["schema"]}, but ${place?.["first"]} comes first in search_path`);
  }
  if (rules[0]?.["forced"]) found.push("ai_job has FORCE ROW LEVEL SECURITY");
  if (rules[0]?.["partition"]) found.push("ai_job is a partition of another table");
  if (rules[0]?.["parent"]) found.push("ai_job has child tables");
  return found;
}

/** Django's own ledger, where it came along, tells 0002 and 0004 apart from 0005, which have the same columns. */
async function djangoLedger(sql: Sql): Promise<string[]> {
  const columns = await sql`SELECT attname FROM pg_attribute
    WHERE attrelid = to_regclass('django_migrations') AND attname IN ('app', 'name') AND NOT attisdropped`;
  if (columns.length < 2) return [];
  const rows = await sql`SELECT name FROM django_migrations WHERE app = 'ai_domain'`;
  if (rows.length === 0) return [];
  const run = new Set(rows.map((row) => row["name"]));
  return DJANGO_MIGRATIONS.filter((name) => !run.has(name)).map(
    (name) => `Django's migration ai_domain.${name} has not been run (python manage.py migrate ai_domain)`,
  );
}

/** What the role lacks to run the migrations. */
export async function missingRights(sql: Sql): Promise<string[]> {
  const [row] = await sql`SELECT current_user::text AS role, current_database()::text AS database,
    current_schema()::text AS schema,
    has_database_privilege(current_database(), 'CREATE') AS create_schema,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS create_table,
    (SELECT json_agg(relname) FROM pg_class WHERE oid IN (to_regclass('ai_job'), to_regclass('ai_result'))
      AND NOT pg_has_role(relowner, 'USAGE')) AS not_owned`;
  const { role, database, schema } = row as unknown as Record<"role" | "database" | "schema", string>;
  const missing: string[] = [];
  if (!row?.["create_schema"]) missing.push(`GRANT CREATE ON DATABASE "${database}" TO "${role}"`);
  if (!row?.["create_table"]) missing.push(`GRANT CREATE ON SCHEMA "${schema ?? "public"}" TO "${role}"`);
  for (const table of (row?.["not_owned"] as string[] | null) ?? []) {
    missing.push(`${table} is owned by another role: run migrate as its owner`);
  }
  return missing;
}
