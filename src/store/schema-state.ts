/** What a database is to this version of the broker, found out without a write. */
import type { Sql } from "./db.ts";
import { knownMigrations, readLedger } from "./migrate-ledger.ts";
import { adoptionDifferences, freshDifferences, takenNames } from "./migrate-preflight.ts";
import { unfinishedSteps } from "./migrate-steps.ts";
import { missingColumns } from "./schema-missing.ts";

export interface SchemaState {
  /**
   * empty: nothing of ours and nothing in the way · current: ready to serve · older: some migration or online step is
   * still to be run · newer: made by a later version · django: as Django's migrations leave it · foreign: something
   * else stands under our names.
   */
  state: "empty" | "current" | "older" | "newer" | "django" | "foreign";
  /** One line for a person; where something is to be done it names the command. */
  detail: string;
  /** What differs, when foreign. */
  differences: string[];
}

const RUN = "run `ai-job-broker migrate`";

/** Reads catalogs and ledgers only: cheap at any size of the tables. */
export async function schemaState(sql: Sql): Promise<SchemaState> {
  const ledger = await readLedger(sql);
  const [there] =
    await sql`SELECT to_regclass('ai_job') IS NOT NULL AS job, to_regclass('ai_result') IS NOT NULL AS result`;
  if (ledger.run.length === 0) {
    const adopt = there?.["job"] || there?.["result"];
    const differences = adopt ? await adoptionDifferences(sql) : await freshDifferences(sql);
    if (ledger.unknown.length > 0) {
      differences.push(`drizzle.__drizzle_migrations has ${ledger.unknown.length} entries of another application`);
    }
    if (differences.length > 0) return foreign(differences);
    if (adopt) return state("django", `tables made by Django's migrations 0001..0005: ${RUN} to adopt them`);
    return state("empty", `an empty database: ${RUN} to make the tables`);
  }
  if (!there?.["job"]) return foreign(["the ledger says that migrations were run, but table ai_job is missing"]);
  if (ledger.unknown.length > 0) return unknownEntries(ledger.unknown);
  if (ledger.pending.length > 0) {
    const tags = ledger.pending.map((migration) => migration.tag);
    const taken = await takenNames(sql, tags);
    if (taken.length > 0) return foreign(taken);
    return state("older", `migrations still to be run: ${tags.join(", ")}: ${RUN}`);
  }
  const missing = await missingColumns(sql);
  if (missing.length > 0) {
    return foreign(
      missing.map((name) => `${name} is missing, although its migration was run (restore it from a backup)`),
    );
  }
  const steps = await unfinishedSteps(sql);
  if (steps.length > 0) return state("older", `online steps still to be run: ${steps.join(", ")}: ${RUN}`);
  return state("current", `up to date (${ledger.run.at(-1)?.tag})`);
}

const state = (name: SchemaState["state"], detail: string): SchemaState => ({ state: name, detail, differences: [] });

function foreign(differences: string[]): SchemaState {
  return {
    state: "foreign",
    detail: `not a database that can be adopted: ${differences.join("; ")}. Nothing was changed`,
    differences,
  };
}

function unknownEntries(unknown: { hash: string; when: number }[]): SchemaState {
  const known = knownMigrations();
  const edited = known.find((migration) => unknown.some((entry) => entry.when === migration.when));
  if (edited) return foreign([`migration ${edited.tag} was run with another content than this version has`]);
  if (unknown.every((entry) => entry.when > (known.at(-1)?.when ?? 0))) {
    return state("newer", "made by a newer ai-job-broker: update this one, then start it again");
  }
  return foreign(["drizzle.__drizzle_migrations has entries between ours that this version does not know"]);
}
