/** Jobs that go straight from their dispatch to a seat. A plain worker that waits would get them first: there is none. */
import type { Cell } from "../cell.ts";
import { pass } from "../pace.ts";
import type { World } from "../world.ts";

export const HAND_OFFS: readonly Cell[] = [
  {
    name: "lost-hand-offs",
    about: "streams alone, and what is lost is the answer to a dispatch, the push, or the statement's answer",
    rounds: 4,
    // Room for all: while a job waits, none goes past it.
    world: { workers: { stream: 4, plain: 0, legacy: 0, seats: 8 }, load: { perSecond: 30, ms: 300, failing: 0.02 } },
    async deal(world, dice) {
      for (const name of dice.shuffled([/^producer>/, /^stream/, />db$/]).slice(0, 2)) {
        for (const link of world.linksOf(name)) {
          world.fault(`${link.name}: lose-replies`);
          link.set("lose-replies");
        }
      }
      await pass(dice.between(100, 400));
      for (const link of world.links) link.heal();
      world.note("the lines carry again");
      await pass(dice.between(500, 1_000));
    },
    look: handedOff,
  },
];

/** For the reader: on a machine that is too busy all of them wait. */
async function handedOff({ sql, from, remarks }: World): Promise<string[]> {
  const [row] =
    await sql`SELECT count(*) FILTER (WHERE facts ->> 'status' = 'RUNNING')::int AS handed, count(*)::int AS all
    FROM test_row_history WHERE nth > ${from.nth} AND kind = 'job' AND change = 'INSERT'`;
  remarks.push(`${row?.["handed"]} of ${row?.["all"]} jobs went straight to a seat`);
  return [];
}
