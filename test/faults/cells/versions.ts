/** An update, while the version before it still serves. */
import type { BrokerProcess } from "../broker-process.ts";
import type { Cell } from "../cell.ts";
import { migrateBy, newestMigration, OURS, previousCommit } from "../code.ts";
import type { Dice } from "../dice.ts";
import { pass } from "../pace.ts";
import type { World } from "../world.ts";

/** What a broker said that came back with the old program, after the migration; undefined: it serves. */
const refusals = new WeakMap<World, string | undefined>();

export const VERSIONS: readonly Cell[] = [
  {
    name: "previous-version",
    about: "migrate, then one broker after the other of the new version, while the old one still writes",
    async unable() {
      if ((await previousCommit()) !== undefined) return undefined;
      return `there is no git history from before ${newestMigration()}`;
    },
    world: { isPrevious: true },
    rounds: 1,
    async deal(world, dice, { full, round }) {
      const [first, second] = world.brokers as [BrokerProcess, BrokerProcess];
      if (round === 1) {
        world.fault("the new version's migrate, while both brokers are of the old one");
        await migrateBy(OURS, world.options.cluster.urlOf(world.options.name));
        world.fault(`broker ${first.name} goes, and comes back as the new version`);
        await comeBackAs(OURS, first, "SIGTERM");
        for (let nth = 0; nth < (full ? 200 : 8); nth++) await trouble(world, dice, first, second);
        await tryOldAgain(world, second);
      }
      world.fault(`broker ${second.name} goes, and comes back as the new version`);
      await comeBackAs(OURS, second, "SIGTERM");
    },
    async look(world) {
      const refusal = refusals.get(world);
      if (refusal?.includes("made by a newer ai-job-broker")) return [];
      return [`a broker of the old version on the new schema ${refusal === undefined ? "served" : `said: ${refusal}`}`];
    },
  },
];

async function comeBackAs(code: string, broker: BrokerProcess, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  await broker.end(signal);
  broker.code = code;
  await broker.start();
}

/** The old one's own connections to Postgres are let be: how it bears their loss was that version's matter. */
async function trouble(world: World, dice: Dice, first: BrokerProcess, second: BrokerProcess): Promise<void> {
  const what = dice.pick(["kill", "database", "clients", "clients", "replies"] as const);
  if (what === "kill") {
    world.fault(`kill -9 of broker ${first.name}, the new one`);
    await comeBackAs(OURS, first, "SIGKILL");
  } else if (what === "database") {
    world.fault(`reset of ${first.name}>db`);
    for (const link of world.linksOf(new RegExp(`^${first.name}>db$`))) link.cut();
  } else {
    const to = dice.pick([first, second]);
    world.fault(`the lines to broker ${to.name}: ${what === "replies" ? "lost replies" : "a reset"}`);
    for (const link of world.linksOf(new RegExp(`>${to.name}$`))) {
      if (what === "replies") link.set("lose-replies");
      else link.cut();
    }
  }
  await pass(dice.between(100, 500));
  for (const link of world.links) link.heal();
}

/** Whether a broker of the old version that died comes back as what it was. */
async function tryOldAgain(world: World, broker: BrokerProcess): Promise<void> {
  world.fault(`kill -9 of broker ${broker.name}, the old one, and a start of the same program`);
  await broker.end("SIGKILL");
  refusals.set(world, await broker.start().then(() => undefined, String));
}
