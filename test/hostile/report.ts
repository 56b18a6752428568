/** A run as a page: a table of every attack, and on what machine, of which commit and on which day it was made. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Reporter, TestCase, TestModule } from "vitest/node";
import { commitLine, machineLine } from "../../bench/harness/machine.ts";
import type { Told } from "./told.ts";

export interface Row {
  name: string;
  state: "passed" | "failed" | "skipped" | "pending";
  /** Of a failure or of a skip. */
  words: string | undefined;
  told: Told | undefined;
}

/** Where a run was made, and what of. */
export interface Source {
  commit: string;
  /** In words. */
  machine: string;
  at: Date;
}

const HEAD = [
  "attack",
  "size",
  "p99 before",
  "p99 during",
  "ratio",
  "worst",
  "RSS before",
  "RSS peak",
  "RSS kept",
  "RSS after",
];

/**
 * Writes hostile.md into the folder that HOSTILE_REPORT names, anew after each file: a run that is cut off leaves one. With
 * HOSTILE_ADD what the page has of other attacks stays.
 */
class HostileReport implements Reporter {
  readonly #commit = commitLine();
  readonly #rows: Row[] = [];
  #earlier: string | undefined;

  onTestModuleEnd(module: TestModule): void {
    this.#rows.push(...[...module.children.allTests()].map(rowOf));
    const folder = process.env["HOSTILE_REPORT"];
    if (folder === undefined) return;
    const page = join(folder, "hostile.md");
    const isAdded = process.env["HOSTILE_ADD"] !== undefined && existsSync(page);
    this.#earlier ??= isAdded ? readFileSync(page, "utf8") : "";
    mkdirSync(folder, { recursive: true });
    const postgres = this.#rows.find(({ told }) => told !== undefined)?.told?.postgres ?? "unknown";
    const source = { commit: this.#commit, machine: machineLine(postgres), at: new Date() };
    writeFileSync(page, reportMarkdown(this.#rows, source, this.#earlier));
  }
}

// biome-ignore lint/style/noDefaultExport: Vitest takes a reporter's default export.
export default HostileReport;

function rowOf(test: TestCase): Row {
  const result = test.result();
  const words = result.state === "skipped" ? result.note : result.errors?.[0]?.message;
  return { name: test.fullName, state: result.state, words, told: test.meta().told };
}

/** `earlier`: a page of which the rows of other attacks stay, with their commits. */
export function reportMarkdown(all: readonly Row[], { commit, machine, at }: Source, earlier = ""): string {
  // Neither what the words of -t leave out nor what attacks nobody, such as the test of this page.
  const rows = all.filter(({ words, told }) => told !== undefined || words !== undefined);
  const lines = new Map(earlierRows(earlier));
  for (const row of rows) lines.set(inCell(row.name), lineOf([...cells(row), commit]));
  const held = [...lines.values()].filter((line) => / \| held(;[^|]*)? \| [^|]+ \|$/.test(line)).length;
  return [
    "# Hostile input",
    "",
    `${held} of ${lines.size} held; the newest run was on ${at.toISOString().slice(0, 10)}: ${machine}.`,
    "Attacker, good client, broker and Postgres share the machine. The good client dispatches, claims, reports and asks, one",
    "call after the other; its times are in ms, of at least 500 calls before the attack and as many during it, the broker's",
    "memory is in MB. An attack that is over sooner is made again until the good client has made its calls beside it. RSS kept",
    "is what stands once the attack is over and its garbage collected, RSS after is that without what glibc holds although it is",
    "free (malloc_trim).",
    "",
    lineOf([...HEAD, "verdict", "commit"]),
    `| --- | --- |${" ---: |".repeat(HEAD.length - 2)} --- | --- |`,
    ...lines.values(),
    "",
    "`npm run hostile` makes this page; with words, such as `HOSTILE_ADD=1 HOSTILE_REPORT=docs/proof npm run hostile -- packed`,",
    "the rows of those tests alone are made anew.",
    "",
  ].join("\n");
}

/** By their names. */
function earlierRows(page: string): [string, string][] {
  const rows = page.split("\n").filter((line) => line.startsWith("| "));
  // Behind the table's head and the line under it.
  return rows.slice(2).map((line) => [/^\| (.*?) (?<!\\)\| /.exec(line)?.[1] ?? line, line]);
}

function lineOf(row: readonly string[]): string {
  return `| ${row.map(inCell).join(" | ")} |`;
}

function cells({ name, state, words, told }: Row): string[] {
  if (told === undefined) return [name, ...HEAD.slice(1).map(() => ""), verdict(state, words)];
  const { size, rounds, before, during, rss, p99BoundMs, why } = told;
  const bound = why === undefined ? undefined : `p99 held to ${p99BoundMs.toLocaleString("en")} ms: ${why}`;
  return [
    name,
    rounds === 1 ? size : `${size}, ${rounds} times`,
    ...[before.p99, during.p99, during.p99 / before.p99].map((number) => number.toFixed(1)),
    ...[during.max, rss.before, rss.peak, rss.kept, rss.after].map((number) => number.toFixed(0)),
    verdict(state, words, bound),
  ];
}

function verdict(state: Row["state"], words: string | undefined, bound?: string): string {
  const said = [words, bound].filter((text) => text !== undefined);
  return [state === "passed" ? "held" : state, ...said].join("; ");
}

/** One line, whatever an error's words are. */
function inCell(text: string): string {
  const line = (text.split("\n")[0] as string).replaceAll("|", "\\|");
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
