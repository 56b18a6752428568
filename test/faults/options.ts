/** What the fault programme and its mutation controls are told alike on their command lines. */

/** Not one of those that there are; its message is all that is shown, and the exit code is 2. */
export class WrongOption extends Error {}

/** Those of `things` that `only` names, by commas; undefined: it names none. `kind` is what they are called. */
export function named(
  only: string | undefined,
  things: readonly { name: string }[],
  kind: string,
): string[] | undefined {
  const names = only?.split(",").map((name) => name.trim());
  const strange = names?.filter((name) => !things.some((thing) => thing.name === name)) ?? [];
  if (strange.length > 0) throw new WrongOption(`no such ${kind}: ${strange.join(", ")}; --list shows all`);
  return names;
}

/** The seed of an earlier run, or one by chance. */
export function seedOf(text: string | undefined): number {
  const seed = text === undefined ? Math.floor(Math.random() * 1e6) : Number(text);
  if (!Number.isSafeInteger(seed) || seed < 0) throw new WrongOption("--seed takes a whole number");
  return seed;
}

export function lanesOf(text: string): number {
  const lanes = Number(text);
  if (!Number.isInteger(lanes) || lanes < 1) throw new WrongOption("--lanes takes a whole number from 1");
  return lanes;
}

/** Every nth of them, from the kth, of `k/n`: neighbours, which take about as long, go to different parts. */
export function partOf<T>(things: readonly T[], text: string): T[] {
  const [k = 0, n = 0] = /^\d+\/\d+$/.test(text) ? text.split("/").map(Number) : [];
  if (k < 1 || k > n) throw new WrongOption("--part takes a number and how many there are: 1/3, 2/3 or 3/3");
  return things.filter((_, at) => at % n === k - 1);
}

/** Whether the command line is at fault. */
export function isOptionFault(error: unknown): boolean {
  return error instanceof WrongOption || String((error as { code?: unknown }).code).startsWith("ERR_PARSE_ARGS");
}
