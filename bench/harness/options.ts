/** The command lines of the benches: what is wrong with one is said with what there is, which is the head of its file. */
import { readFileSync } from "node:fs";
import { type ParseArgsConfig, parseArgs } from "node:util";

type Options = NonNullable<ParseArgsConfig["options"]>;

/** The options that were given. Ends the process, with what may be said to it, on --help and on any that there is not. */
export function readOptions<const T extends Options>(file: string, options: T) {
  const { help } = parseArgs({ options: { help: { type: "boolean", default: false } }, strict: false }).values;
  if (help === true) {
    console.log(headOf(file));
    process.exit(0);
  }
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return refuse(`${(error as Error).message.split(". ")[0]}\n\n${headOf(file)}`);
  }
}

/** A whole number from `least` on, as an option gives it. */
export function wholeFrom(least: number, option: string, text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < least) refuse(`${option} takes a whole number from ${least}`);
  return number;
}

/** Ends the process as one that was told something wrong. */
export function refuse(message: string): never {
  console.error(message);
  process.exit(2);
}

/** The comment that a file begins with, as text. */
function headOf(file: string): string {
  const [, comment = ""] = /^\/\*\*\n([\s\S]*?)\n \*\//.exec(readFileSync(file, "utf8")) ?? [];
  return comment.replaceAll(/^ \* ?/gm, "");
}
