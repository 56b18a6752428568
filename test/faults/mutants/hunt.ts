/** One mutant: its cell is played, with one seed after the other, until one of its rules has found it. */
import type { Mutant } from "./mutant.ts";
import { type CellReport, play } from "./programme.ts";
import type { Scratch } from "./scratch.ts";

/** One run of the cell. */
export interface Try {
  seed: number;
  /** The mutant's rule that has found it, and what it says of the first job; undefined: none has. */
  rule: string | undefined;
  what: string;
  /** Every rule that was broken. */
  rules: string[];
  /** What the cell found wrong beside. */
  faultsFound: string[];
}

/** What came of a mutant. */
export interface Hunted {
  mutant: string;
  about: string;
  cell: string;
  /** The last one has caught it, or the proof has a hole. */
  tries: Try[];
  seconds: number;
}

/** Whether a bug shows depends on who is at work when a fault comes. */
const TRIES = 3;

export async function hunt(mutant: Mutant, scratch: Scratch, from: number, signal: AbortSignal): Promise<Hunted> {
  const { name, about, cell } = mutant;
  const since = performance.now();
  const tries: Try[] = [];
  while (tries.length < TRIES && tries.at(-1)?.rule === undefined) {
    const seed = from + tries.length;
    const { cells, errors } = await scratch.with(mutant, () =>
      play({ folder: scratch.folder, cells: [cell], seed, lanes: 1, signal }),
    );
    tries.push({ seed, ...judged(mutant, cells[0], errors) });
  }
  return { mutant: name, about, cell, tries, seconds: (performance.now() - since) / 1_000 };
}

/** Only its own rules count: a cell that merely fails, or a broker that does not start, has found nothing. */
export function judged({ rules }: Mutant, report: CellReport | undefined, errors: string): Omit<Try, "seed"> {
  if (report === undefined) return { rule: undefined, what: "", rules: [], faultsFound: [errors] };
  const { broken, faultsFound } = report;
  const found = broken.find(({ rule }) => rules.includes(rule));
  const what = found === undefined ? "" : `job ${found.job}: ${found.what}`;
  return { rule: found?.rule, what, rules: [...new Set(broken.map(({ rule }) => rule))], faultsFound };
}
