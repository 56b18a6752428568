/** Parsers of options; what they throw is printed by commander beside the option's name. */
import { text } from "node:stream/consumers";
import { InvalidArgumentError } from "commander";
import { CliError } from "./cli-error.ts";
import { EXIT } from "./exit-codes.ts";

/** `a,b , c` as a list. */
export function listOf(value: string): string[] {
  return value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** A whole number of at least 1. */
export function parseCount(value: string): number {
  if (!/^[1-9]\d{0,8}$/.test(value)) throw new InvalidArgumentError("Give a whole number of at least 1.");
  return Number(value);
}

/** A whole number, negative ones too. Its bounds are the broker's business. */
export function parseWhole(value: string): number {
  if (!/^-?\d{1,9}$/.test(value)) throw new InvalidArgumentError("Give a whole number.");
  return Number(value);
}

/** The ids on the command line; `-` stands for one id per line on stdin. */
export async function readIds(given: string[]): Promise<string[]> {
  if (!given.includes("-")) return given;
  const lines = (await text(process.stdin)).split("\n").map((line) => line.trim());
  const ids = given.flatMap((id) => (id === "-" ? lines : [id])).filter((id) => id !== "");
  if (ids.length === 0) throw new CliError(EXIT.usage, "no job id on stdin: give one per line");
  return ids;
}

/** The parts of a list that fit into one request each. */
export function batches<T>(items: T[], size = 1000): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}
