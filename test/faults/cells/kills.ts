/** Processes that die, or are held still, without a word. */
import { until } from "../../support/until.ts";
import type { Cell } from "../cell.ts";
import { pass } from "../pace.ts";
import { LEASE_MS, type World } from "../world.ts";

export const KILLS: readonly Cell[] = [
  {
    name: "kill-broker",
    about: "kill -9 of a broker, and a new one in its place",
    async deal(world, dice) {
      const broker = dice.pick(world.brokers);
      world.fault(`kill -9 of broker ${broker.name}`);
      await broker.end("SIGKILL");
      await pass(dice.between(0, 800));
      await broker.start();
      await pass(dice.between(0, 800));
    },
  },
  {
    name: "kill-worker",
    about: "kill -9 of a worker of any kind, and a new one in its place",
    rounds: 5,
    async deal(world, dice) {
      const worker = dice.pick(world.workers);
      world.fault(`kill -9 of worker ${worker.name}`);
      await worker.kill();
      await pass(dice.between(0, 500));
      await worker.restart();
      await pass(dice.between(200, 1_200));
    },
  },
  {
    name: "kill-postmaster",
    about: "kill -9 of Postgres, which starts again on the same data",
    // Others may stand on the common one.
    world: { cluster: {} },
    async deal(world, dice) {
      const pid = await world.options.cluster.pid();
      world.fault(`kill -9 of postmaster ${pid}`);
      process.kill(pid, "SIGKILL");
      await until("Postgres is back", () => isBack(world, pid), 30_000);
      await pass(dice.between(300, 1_000));
    },
  },
  {
    name: "stop-worker",
    about: "SIGSTOP of workers for 3 leases, then their late reports",
    rounds: 2,
    async deal(world, dice, { full }) {
      const workers = dice.shuffled(world.worker(/^(stream|plain)/));
      const stopped = workers.slice(0, full ? workers.length : dice.between(1, 2));
      for (const worker of stopped) {
        world.fault(`SIGSTOP of worker ${worker.name}`);
        worker.stop();
      }
      await pass(3 * LEASE_MS + dice.between(0, 300));
      for (const worker of stopped) {
        worker.goOn();
        world.note(`SIGCONT of worker ${worker.name}`);
      }
    },
  },
  {
    name: "stop-broker",
    about: "SIGSTOP of a broker, short or for longer than a lease",
    async deal(world, dice) {
      const broker = dice.pick(world.brokers);
      world.fault(`SIGSTOP of broker ${broker.name}`);
      broker.stop();
      await pass(dice.chance(0.5) ? dice.between(100, 800) : LEASE_MS + dice.between(100, 1_000));
      broker.goOn();
      world.note(`SIGCONT of broker ${broker.name}`);
    },
  },
];

async function isBack(world: World, killed: number): Promise<boolean> {
  const pid = await world.options.cluster.pid().catch(() => killed);
  return pid !== killed && (await world.ask("SELECT 1"));
}
