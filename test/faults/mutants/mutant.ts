/** A seeded bug: a small change of one file, the promise that it breaks, and who has to find it. */

export interface Mutant {
  name: string;
  /** What the project does with it, in a line. */
  about: string;
  /** From the root of the project. */
  file: string;
  /** Texts that stand in the file just once each, and what stands in their place. */
  edits: readonly (readonly [find: string, put: string])[];
  /** The cell in which it has to be found. */
  cell: string;
  /** The rules of the checker of which one has to find it. */
  rules: readonly string[];
}

/** The list of mutants has to follow the code. */
export class BadPatch extends Error {}

/** The file's text as the mutant has it. Throws a BadPatch where a text is not there, or more than once. */
export function mutated(text: string, { name, file, edits }: Mutant): string {
  return edits.reduce((before, [find, put]) => {
    const parts = before.split(find);
    if (parts.length !== 2) {
      throw new BadPatch(
        `${name}: ${file} must have this text just once, and has it ${parts.length - 1} times: ${find}`,
      );
    }
    return parts.join(put);
  }, text);
}
