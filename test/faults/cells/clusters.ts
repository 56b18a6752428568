/** Postgres as it is run in production, and what goes wrong there: its primary is lost, its disk is full, its pooler goes. */
import { until } from "../../support/until.ts";
import type { Cell } from "../cell.ts";
import { pass } from "../pace.ts";
import { noPooler, type Pooled } from "../pooler.ts";
import { noSmallDisk, type SmallDisk } from "../small-disk.ts";
import type { Pair } from "../standby.ts";
import type { World } from "../world.ts";

const BACK_WITHIN_MS = 30_000;
/** More files of the WAL than Postgres keeps ready. */
const MOST_SWITCHES = 8;

export const CLUSTERS: readonly Cell[] = [
  {
    name: "fail-over",
    about: "the primary is cut off and killed; its synchronous standby takes over, and gets a standby of its own",
    world: { cluster: "pair" },
    async deal(world, dice) {
      const pair = world.options.cluster as Pair;
      world.fault("the primary is cut off and killed, and its standby is promoted");
      await pair.failOver();
      world.note("the new primary has a standby");
      await pass(dice.between(300, 800));
    },
  },
  {
    name: "disk-full",
    about: "the disk of Postgres is full for a while; where the WAL needs a new file then, Postgres ends itself",
    unable: noSmallDisk,
    world: { cluster: "small-disk" },
    async deal(world, dice) {
      const disk = world.options.cluster as SmallDisk;
      world.fault("the disk is full");
      await disk.fill(dice.between(0, 500_000));
      if (dice.chance(0.5)) await useUpWal(world);
      await pass(dice.between(500, 2_000));
      await disk.free();
      world.note("there is room on the disk");
      const back = () => until("Postgres takes writes", () => takesWrites(world), BACK_WITHIN_MS);
      await back().catch(async () => {
        // Seen once in 55 times: its start-up process ended for want of room, and 18.4 did nothing more about it.
        world.fault("Postgres hangs in its start-up, and is killed");
        process.kill(await disk.pid(), "SIGKILL");
        await back();
      });
      await pass(dice.between(100, 400));
    },
  },
  {
    name: "pgbouncer",
    about:
      "brokers reach Postgres by a PgBouncer in transaction mode, which is killed, held up, or made to connect anew",
    unable: noPooler,
    world: { cluster: "pooled" },
    rounds: 6,
    async deal(world, dice) {
      const { pooler } = world.options.cluster as Pooled;
      const what = dice.pick(["kill", "kill", "RECONNECT", "PAUSE"] as const);
      world.fault(what === "kill" ? "kill -9 of PgBouncer" : `PgBouncer is told to ${what}`);
      if (what === "kill") await pooler.kill();
      else await pooler.say(what);
      await pass(dice.between(0, 800));
      if (what === "kill") await pooler.start();
      else if (what === "PAUSE") await pooler.say("RESUME");
      await pass(dice.between(200, 600));
    },
  },
];

/** Has Postgres need a new file of the WAL, which it cannot have. */
async function useUpWal(world: World): Promise<void> {
  world.fault("the WAL needs a new file");
  for (let at = 0; at < MOST_SWITCHES; at++) {
    // A file that holds nothing is not left for the next one.
    if (!(await world.ask("SELECT pg_logical_emit_message(false, 'faults', 'x'), pg_switch_wal()"))) return;
  }
}

async function takesWrites(world: World): Promise<boolean> {
  return await world.ask("SELECT pg_logical_emit_message(true, 'faults', 'x')");
}
