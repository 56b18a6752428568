/** Files of JSON lines, which a kill -9 may have cut in the middle of the last one. */
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

/** A file that cannot be what it should; the message names file, line and what is wrong. */
export class BadInput extends Error {}

/**
 * Each whole line through `read`, which answers the value or, as a text, what is wrong. A last line without an end of
 * line is a torn one and left out, unless it is whole; any other line that is no JSON is an error.
 */
export function readLines<T extends object>(file: string, read: (value: Record<string, unknown>) => T | string): T[] {
  const lines = readFileSync(file, "utf8").split("\n");
  const values: T[] = [];
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const bad = (what: string) => new BadInput(`${basename(file)}:${index + 1}: ${what}`);
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      if (index === lines.length - 1) continue;
      throw Object.assign(bad(`no JSON: ${line.slice(0, 60)}`), { cause: error });
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad("must be a JSON object");
    const known = read(value as Record<string, unknown>);
    if (typeof known === "string") throw bad(known);
    values.push(known);
  }
  return values;
}

/** A line for each value. */
export function writeLines(file: string, values: readonly object[]): void {
  writeFileSync(file, values.map((value) => `${JSON.stringify(value)}\n`).join(""));
}
