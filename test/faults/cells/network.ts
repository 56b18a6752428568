/** Lines between processes that break, fall silent, or lose what they carry. */
import type { Cell } from "../cell.ts";
import { Dice } from "../dice.ts";
import { pass } from "../pace.ts";
import type { Link, Mode } from "../proxy.ts";
import type { World } from "../world.ts";

/** Whose replies may be lost, by the names of their lines. */
const REPLIES: Readonly<Record<string, RegExp>> = {
  producer: /^producer>/,
  claims: /^plain\d+>/,
  reports: /^plain\d+-reports>/,
  streams: /^stream/,
  REST: /^legacy/,
  brokers: />db$/,
};

export const NETWORK: readonly Cell[] = [
  {
    name: "lost-replies",
    about: "committed, and the reply is lost: Dispatch, Claim, Report, the stream, REST, statements",
    rounds: 6,
    async deal(world, dice) {
      for (const [, name] of dice.shuffled(Object.entries(REPLIES)).slice(0, 3)) {
        for (const link of world.linksOf(name)) dealt(world, link, "lose-replies");
      }
      await pass(dice.between(100, 500));
      heal(world);
    },
    // Lines that nothing crossed meanwhile have lost nothing.
    async look(world, full) {
      const lost = Object.entries(REPLIES).map(([what, name]): [string, number] => {
        return [what, world.linksOf(name).reduce((sum, link) => sum + link.lostReplies, 0)];
      });
      world.remarks.push(`replies lost: ${lost.map(([what, count]) => `${count} to ${what}`).join(", ")}`);
      const none = lost.filter(([, count]) => count === 0).map(([what]) => `no reply to ${what} was lost`);
      return full || none.length === lost.length ? none : [];
    },
  },
  {
    name: "cut-lines",
    about: "connections are reset, or refused for a while, anywhere",
    rounds: 6,
    async deal(world, dice) {
      for (const link of some(world, dice, />[ab]$/)) {
        world.fault(`reset of ${link.name}`);
        link.cut();
        if (dice.chance(0.5)) link.set("refuse");
      }
      await pass(dice.between(50, 700));
      heal(world);
    },
  },
  {
    name: "half-open",
    about: "a peer is gone and nobody says so, either way, between workers and brokers; or bytes come late",
    rounds: 4,
    async deal(world, dice) {
      const mode = dice.pick<Mode>(["half-open", "half-open", "stall"]);
      for (const link of some(world, dice, />[ab]$/)) dealt(world, link, mode);
      await pass(dice.between(300, 2_500));
      heal(world);
    },
  },
  {
    name: "cut-database",
    about: "a broker is cut from Postgres and not from its workers, or from its workers and not from Postgres",
    rounds: 4,
    async deal(world, dice, { round }) {
      const broker = dice.pick(["a", "b"]);
      const side = round % 4 === 0 ? new RegExp(`>${broker}$`) : new RegExp(`^${broker}>db$`);
      const mode = dice.pick<Mode>(["refuse", "stall"]);
      for (const link of world.linksOf(side)) dealt(world, link, mode);
      await pass(dice.between(200, 2_500));
      heal(world);
    },
  },
  {
    name: "reset-database",
    about: "a broker's connections to Postgres are reset, again and again; new ones get through",
    rounds: 8,
    async deal(world, dice) {
      const link = dice.pick(world.linksOf(/>db$/));
      world.fault(`reset of ${link.name}`);
      link.cut();
      await pass(dice.between(50, 600));
    },
  },
  {
    name: "half-open-database",
    about: "Postgres is gone for a broker's connections, and nobody tells it; new ones get through",
    rounds: 2,
    async deal(world, dice, { full }) {
      const link = dice.pick(world.linksOf(/>db$/));
      dealt(world, link, "half-open");
      await pass(dice.between(300, 1_500));
      heal(world);
      // Until silence is found out, and a while of peace: each cut soon after another doubles the patience (decision 028),
      // and 200 in a row would be one long cut.
      await pass(full ? dice.between(5_000, 8_000) : 1_000);
    },
  },
  {
    name: "flaky-store",
    about: "one to five of a hundred calls of Postgres fail, before or after they are done",
    rounds: 3,
    async deal(world, dice) {
      for (const link of world.linksOf(/>db$/)) {
        const share = dice.between(1, 5) / 100;
        // How many calls there are is not the seed's: they draw from a chance of their own.
        const own = new Dice(dice.between(0, 1e6));
        link.flaky({ share, draw: () => own.next(), onFault: (what) => world.fault(`${link.name}: ${what}`) });
      }
      await pass(dice.between(1_500, 2_500));
      heal(world);
    },
  },
  {
    name: "slow-database",
    about: "each statement takes 200 ms longer",
    rounds: 2,
    async deal(world, dice) {
      for (const link of world.linksOf(/>db$/)) {
        world.fault(`${link.name} is slow`);
        link.delay(100);
      }
      await pass(dice.between(1_500, 2_500));
      heal(world);
    },
  },
];

/** One to three of the lines that fit. */
function some(world: World, dice: Dice, name: RegExp): Link[] {
  return dice.shuffled(world.linksOf(name)).slice(0, dice.between(1, 3));
}

function dealt(world: World, link: Link, mode: Mode): void {
  world.fault(`${link.name}: ${mode}`);
  link.set(mode);
}

function heal(world: World): void {
  for (const link of world.links) link.heal();
  world.note("the lines carry again");
}
