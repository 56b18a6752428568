/** Peers are measured at their best: which of their settings that is on this machine, a short try of each tells. */
import { titleOf } from "../systems/system.ts";
import {
  BOSS,
  BULL,
  type Choice,
  type Contender,
  GRAPHILE,
  OURS,
  OURS_BY_CONNECT,
} from "../systems/throughput-systems.ts";
import { inTurn } from "./in-turn.ts";
import type { BenchContext } from "./measure.ts";
import { type Order, runThrough } from "./run-through.ts";

const TRY = { jobs: 20_000, warmUp: 2_000 };
/** A setting that met a bad moment of a shared machine gets another one. */
const TRIES = 2;

/** Everybody, each peer by one setting. A quick run has no time for a try, nor for our own second transport. */
export async function contendersOf(context: BenchContext, order: Order): Promise<Contender[]> {
  const peers: Contender[] = [];
  for (const choice of context.alone ? [] : [GRAPHILE, BOSS, BULL]) peers.push(await bestOf(context, choice, order));
  return [OURS, ...(context.quick ? [] : [OURS_BY_CONNECT]), ...peers];
}

/** The fastest setting by its better try; in a quick run the one that it was when they were last tried. */
export async function bestOf({ ground, quick, say }: BenchContext, choice: Choice, order: Order): Promise<Contender> {
  if (quick || titleOf(choice[0].system) === undefined) return choice[0];
  const tries = await inTurn(
    { rounds: TRIES, say },
    `try, ${order}`,
    choice,
    ({ system }) => titleOf(system),
    async ({ system, concurrency }) => (await runThrough(ground, system, { ...TRY, order, concurrency })).done,
  );
  const figures = tries.map((done) => Math.max(...done));
  say(`tried: ${choice.map(({ system }, at) => `${system.setting}: ${figures[at]?.toFixed(0)}`).join("; ")}`);
  return choice[figures.indexOf(Math.max(...figures))] ?? choice[0];
}
