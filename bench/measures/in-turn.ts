/** The order of every bench: all cases in turn, round after round, so that each meets the same moments of a machine. */
import type { BenchContext } from "./measure.ts";

/** What each case gave, round by round, in the order of the cases; nothing for one without a title. */
export async function inTurn<C, R>(
  { rounds, say }: Pick<BenchContext, "rounds" | "say">,
  name: string,
  cases: readonly C[],
  titleOf: (one: C) => string | undefined,
  run: (one: C) => Promise<R>,
): Promise<R[][]> {
  const results = cases.map(() => [] as R[]);
  for (let round = 1; round <= rounds; round++) {
    for (const [at, one] of cases.entries()) {
      const title = titleOf(one);
      if (title === undefined) continue;
      say(`${name}, round ${round} of ${rounds}: ${title}`);
      results[at]?.push(await run(one));
    }
  }
  return results;
}
