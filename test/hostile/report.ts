/** A run as a page: a table of every attack, and on what machine, of which commit and on which day it was made. */
import { mkdirSync, writeFileSync } from "node:fs";
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

/** Writes hostile.md into the folder that HOSTILE_REPORT names, anew after each file: a run that is cut off leaves one. */
class HostileReport implements Reporter {
  readonly #commit = commitLine();
  readonly #rows: Row[] = [];

  onTestModuleEnd(module: TestModule): void {
    this.#rows.push(...[...module.children.allTests()].map(rowOf));
    const folder = process.env["HOSTILE_REPORT"];
    if (folder === undefined) return;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "hostile.md"), reportMarkdown(this.#rows, this.#commit, new Date()));
  }
}

// biome-ignore lint/style/noDefaultExport: Vitest takes a reporter's default export.
export default HostileReport;

function rowOf(test: TestCase): Row {
  const result = test.result();
  const words = result.state === "skipped" ? result.note : result.errors?.[0]?.message;
  return { name: test.fullName, state: result.state, words, told: test.meta().told };
}

export function reportMarkdown(all: readonly Row[], commit: string, at: Date): string {
  // Neither what the words of -t leave out nor what attacks nobody, such as the test of this page.
  const rows = all.filter(({ words, told }) => told !== undefined || words !== undefined);
  const passed = rows.filter(({ state }) => state === "passed").length;
  const postgres = rows.find(({ told }) => told !== undefined)?.told?.postgres ?? "unknown";
  return [
    "# Hostile input",
    "",
    `${passed} of ${rows.length} passed on ${at.toISOString().slice(0, 10)}: ${machineLine(postgres)}; commit ${commit}.`,
    "Attacker, good client, broker and Postgres share the machine. The good client dispatches, claims, reports and asks, one",
    "call after the other; its times are in ms, of at least 500 calls before the attack and as many during it, the broker's",
    "memory is in MB. An attack that is over sooner is made again until the good client has made its calls beside it. RSS kept",
    "is what stands once the attack is over and its garbage collected, RSS after is that without what glibc holds although it is",
    "free (malloc_trim).",
    "",
    `| ${[...HEAD, "verdict"].join(" | ")} |`,
    `| --- | --- |${" ---: |".repeat(HEAD.length - 2)} --- |`,
    ...rows.map((row) => `| ${cells(row).map(inCell).join(" | ")} |`),
    "",
    "`npm run hostile` makes this page.",
    "",
  ].join("\n");
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
