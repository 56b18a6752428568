/** A run's history, put together and judged: what its processes wrote, and what the database remembers. */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Sql } from "../../src/store/db.ts";
import { adminPool } from "./ground.ts";
import { checkHistory, type RowHistory, type Verdict } from "./history/check.ts";
import { writeLines } from "./history/lines.ts";
import { type CallRecord, readRecords } from "./history/record.ts";
import { readFinal, readRowHistory } from "./history/row-history.ts";
import type { FinalRow } from "./history/rows.ts";
import type { Options } from "./history/violation.ts";

/** Plain data, so that a thread can be given it. */
export interface Case {
  /** Where the processes wrote what they did; gets the rows and the options, for history/main.ts. */
  folder: string;
  /** Of the database. */
  url: string;
  /** What was before belongs to another cell. */
  from: { nth: number; at: number };
  glimpses: FinalRow[][];
  options: Partial<Options>;
}

export interface Judged {
  verdict: Verdict;
  jobs: number;
  notes: string[];
}

export async function judge({ folder, url, from, glimpses, options }: Case): Promise<Judged> {
  const sql = adminPool(url);
  const rows = await rowsSince(sql, from.nth).finally(() => sql.end({ timeout: 1 }));
  writeLines(join(folder, "rows.jsonl"), rows.versions);
  writeLines(join(folder, "final.jsonl"), rows.final);
  const { keptKinds, ...plain } = options;
  const kept = keptKinds === undefined ? {} : { keptKinds: [...keptKinds] };
  writeFileSync(join(folder, "options.json"), JSON.stringify({ ...plain, ...kept }));
  const records = since(recordsIn(folder), from.at);
  const verdict = checkHistory(records, { ...rows, glimpses }, options);
  return { verdict, jobs: rows.final.filter(({ table }) => table === "job").length, notes: notesOf(verdict, records) };
}

/** Of one moment, since some jobs may not have ended. */
async function rowsSince(sql: Sql, nth: number): Promise<RowHistory> {
  const rows = await sql.begin("ISOLATION LEVEL REPEATABLE READ", async (tx) => ({
    versions: await readRowHistory(tx as unknown as Sql),
    final: await readFinal(tx as unknown as Sql),
  }));
  const old = new Set(rows.versions.filter((version) => version.nth <= nth).map(({ job }) => job));
  const gone = new Set(rows.final.filter((row) => row.table === "job" && old.has(row.job)).map(({ id }) => id));
  return {
    versions: rows.versions.filter((version) => version.nth > nth),
    final: rows.final.filter(({ id }) => !gone.has(id)),
  };
}

/** Calls that ended after it, and those that have not. */
function since(records: CallRecord[], at: number): CallRecord[] {
  const over = new Set(
    records
      .filter((record) => record.phase !== "invoke" && record.at < at)
      .map(({ process, call }) => `${process} ${call}`),
  );
  return records.filter((record) => !over.has(`${record.process} ${record.call}`));
}

const OURS = new Set(["rows.jsonl", "final.jsonl"]);

function recordsIn(folder: string): CallRecord[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(".jsonl") && !OURS.has(name));
  return names.flatMap((name) => readRecords(join(folder, name)));
}

/** What the run had to live through: answers that say that something had happened before. */
function notesOf(verdict: Verdict, records: CallRecord[]): string[] {
  const words = new Map<string, number>();
  for (const { phase, op, items = [] } of records) {
    if (phase !== "ok" || (op !== "report" && op !== "dispatch")) continue;
    for (const { status = "" } of items) words.set(status, (words.get(status) ?? 0) + 1);
  }
  const counted = ["DUPLICATE", "CONFLICT", "LEASE_LOST", "KNOWN"].map((word) => `${words.get(word) ?? 0} ${word}`);
  return [`${verdict.calls} calls, ${verdict.unknown} of unknown outcome`, counted.join(", ")];
}
