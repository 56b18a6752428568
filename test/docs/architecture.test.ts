/** The picture of the rooms in docs/architecture.md is the true one: its arrows are the imports of src/. */
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { drawnLines, linesOfPicture, roomGraph, withoutShortcuts } from "../tidy/room-graph.ts";
import { importsOf, parse, resolveFrom } from "../tidy/source.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const page = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");
const sources = globSync("src/**/*.ts", { cwd: ROOT })
  .map((path) => path.replaceAll("\\", "/"))
  .map((path) => parse(path, readFileSync(join(ROOT, path), "utf8")));

test("its arrows are the imports between the rooms, no more and no fewer", () => {
  expect(linesOfPicture(page, "## Who imports whom").sort()).toEqual(drawnLines(withoutShortcuts(roomGraph(sources))));
});

test("each room of src/ has its line in the table, and no other has", () => {
  const [, table = ""] = page.split("\n## Who imports whom\n");
  const named = Array.from(table.matchAll(/^\| `([a-z-]+)` \|/gm), ([, room = ""]) => room);
  expect(named.sort()).toEqual([...roomGraph(sources).keys()].sort());
});

/** Who puts the parts together: what they import may be handed to any other. */
const JOINERS = ["src/broker.ts", "src/rpc/routes.ts", "src/dispatch/create-moves.ts"];

/** Files of a row that are not there, or that nobody before them in it leads to. */
function strayFiles(row: string): string[] {
  const files = Array.from(row.matchAll(/`([a-z0-9/-]+\.ts)`/g), ([, file = ""]) => `src/${file}`);
  const importsOfFile = (path: string) => {
    const source = sources.find((one) => one.path === path);
    return source === undefined ? [] : importsOf(source).map(({ specifier }) => resolveFrom(path, specifier));
  };
  return files.filter((file, at) => {
    if (!sources.some(({ path }) => path === file)) return true;
    return at > 0 && ![...files.slice(0, at), ...JOINERS].flatMap(importsOfFile).includes(file);
  });
}

test("the way of a job leads from file to file as the imports do", () => {
  const [, walk = ""] = page.split("\n## One job, file by file\n");
  const [section = ""] = walk.split("\n## ");
  const rows = section.split("\n").filter((line) => /^\| (\*\*|a call)/.test(line));
  expect(rows).toHaveLength(6);
  expect(rows.flatMap(strayFiles)).toEqual([]);
  const bad =
    "| **report** | `store/report.ts` → `rpc/auth.ts` → `store/report-statement.ts` → `store/event-rows.ts` |";
  expect(strayFiles(bad)).toEqual(["src/store/report-statement.ts"]);
  expect(strayFiles("| x | `store/report.ts` → `rpc/own-errors.ts` |")).toEqual(["src/rpc/own-errors.ts"]);
});

test("an import is drawn with its kind, and a shortcut is left out", () => {
  const few = [
    parse("src/a/one.ts", 'import { b } from "../b/one.ts"; import type { C } from "../c.ts"; import "./two.ts";'),
    parse("src/b/one.ts", 'import type { C } from "../c.ts"; import fs from "node:fs"; await import("../d/x.ts");'),
    parse("src/c.ts", ""),
    parse("src/d/x.ts", ""),
  ];
  expect(drawnLines(roomGraph(few))).toEqual(["a --> b", "a -.-> c", "b --> d", "b -.-> c"]);
  expect(drawnLines(withoutShortcuts(roomGraph(few)))).toEqual(["a --> b", "b --> d", "b -.-> c"]);
});

test("a picture is read from under its heading alone", () => {
  const text =
    "# A\n```mermaid\nx --> y\n```\n## B\n\n```mermaid\nflowchart TD\n  a --> b & c\n  b -.-> c\n  c[word]\n```\n";
  expect(linesOfPicture(text, "## B")).toEqual(["a --> b & c", "b -.-> c"]);
});
