/** Values go to Postgres as parameters: no text of SQL is put together from anything that a caller could have sent. */
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { parse } from "../tidy/source.ts";
import { EXCEPTIONS, looseTexts } from "./sql-texts.ts";

const root = resolve(import.meta.dirname, "../..");
const sources = globSync("src/**/*.ts", { cwd: root })
  .filter((path) => !path.startsWith("src/gen/"))
  .map((path) => parse(path, readFileSync(join(root, path), "utf8")));

test("every text that is put into SQL is a constant, or an exception with its reason", () => {
  const found = sources.flatMap(looseTexts);
  expect([...new Set(found)].sort()).toEqual(Object.keys(EXCEPTIONS).sort());
});

test.for([
  ["a value", "export const f = (sql, id) => sql.unsafe(id);", "id"],
  ["a value in a template", "export const f = (sql, id) => sql.unsafe(`SELECT #{id}`);", "`SELECT #{id}`"],
  ["a value behind a name", "export function f(sql, id) { const text = `x#{id}`; return sql.unsafe(text); }", "text"],
  ["a value for a builder", 'export const f = (sql, id) => among(sql, "id", id);', "id"],
  ["a value for drizzle", "export const f = (id) => sql.raw(id);", "id"],
])("a bad sample is found: %s", ([, text = "", fault = ""]) => {
  expect(looseTexts(sample(text))).toEqual([`src/store/a.ts: ${filled(fault)}`]);
});

test("constants pass, and values in a tagged template, which are parameters", () => {
  const text = 'const A = "x"; export const f = (sql, id) => sql`SELECT #{sql.unsafe(`#{A}, y`)} WHERE id = #{id}`;';
  expect(looseTexts(sample(text))).toEqual([]);
});

/** The sample as a source; `#{` stands for what begins a value in a template. */
function sample(text: string) {
  return parse("src/store/a.ts", filled(text));
}

function filled(text: string): string {
  return text.replaceAll("#{", "$".concat("{"));
}
