/** Workers that report in other ways than they should, and more of them than there is work. */
import type { Cell } from "../cell.ts";
import { pass } from "../pace.ts";

const PLAIN_ONLY = { stream: 0, plain: 2, legacy: 0 };
/** Of the cell whose reports come late; what is not seen for a while is given up well before a lease ends. */
const SHORT = { leaseMs: 1_500, silenceMs: 900, pingMs: 300 };

export const REPORTS: readonly Cell[] = [
  {
    name: "repeated-reports",
    about: "each report comes several times, in any order, on any broker, some late and some with the opposite outcome",
    world: {
      workers: { ...PLAIN_ONLY, legacy: 2 },
      plain: { habit: "repeats" },
      // Late ones find the next attempt at work.
      load: { perSecond: 20, ms: 300, failing: 0.3 },
    },
    async deal(world, dice) {
      world.fault("a reset of all lines, beside reports that repeat themselves");
      for (const link of world.linksOf(/-reports>/)) link.cut();
      await pass(dice.between(500, 1_500));
    },
  },
  {
    name: "late-reports",
    about:
      "workers without heartbeats, others that are held still for longer than a lease, and leases seldom taken back",
    rounds: 2,
    world: {
      settings: {
        LEASE_TTL_MS: String(SHORT.leaseMs),
        WORK_PING_MS: String(SHORT.pingMs),
        WORK_SILENCE_MS: String(SHORT.silenceMs),
        WORK_ACK_TIMEOUT_MS: String(SHORT.silenceMs),
        // What has run out stays its worker's for a while, and is another's before the worker goes on.
        RECLAIM_EVERY_MS: String(SHORT.leaseMs),
      },
      workers: { stream: 2, plain: 2, legacy: 0, seats: 20 },
      plain: { habit: "mute" },
      // So long that whoever comes late finds another at work, or is itself not done.
      load: { perSecond: 20, ms: 4_000, failing: 0.05, cancelled: 0.15 },
    },
    async deal(world, dice) {
      const still = [dice.pick(world.worker(/^stream/)), dice.pick(world.worker(/^plain/))];
      for (const worker of still) {
        world.fault(`SIGSTOP of worker ${worker.name}`);
        worker.stop();
      }
      await pass(2 * SHORT.leaseMs + dice.between(-500, 500));
      for (const worker of still) worker.goOn();
      world.note("SIGCONT of both");
      await pass(dice.between(800, 1_200));
    },
    check: { brokersLive: true },
  },
  {
    name: "crossed-batches",
    about: "batches of reports and heartbeats that name the same jobs in opposite orders at the same time",
    world: {
      workers: PLAIN_ONLY,
      plain: { habit: "crosses", seats: 50 },
      load: { perSecond: 200, batch: 50, ms: 10, cancelled: 0.05 },
    },
    async deal(world, dice) {
      world.fault("a reset of a line, beside batches that cross");
      dice.pick(world.linksOf(/-reports>/)).cut();
      await pass(dice.between(800, 1_500));
    },
    async look({ sql }) {
      const [row] = await sql`SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()`;
      const count = Number(row?.["deadlocks"]);
      return count === 0 ? [] : [`Postgres has broken ${count} deadlocks`];
    },
  },
  {
    name: "many-claimers",
    about: "50 workers claim from one queue: 5,000 jobs, 100,000 in a full run",
    world: {
      workers: { ...PLAIN_ONLY, plain: 1, seats: 5 },
      plain: { copies: 50 },
      load: { perSecond: 1_000, batch: 200, ms: 5, failing: 0.01, cancelled: 0.005 },
    },
    fullJobs: 100_000,
    async deal(world, dice, { full }) {
      world.fault("a line is cut, beside 50 claimers");
      dice.pick(world.linksOf(/^plain/)).cut();
      await pass(full ? 500 : 1_200);
    },
  },
];
