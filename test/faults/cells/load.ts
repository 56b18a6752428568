/** Much of something: rows that nobody can clear away, workers that come back all at once. */
import { holdSnapshot } from "../../../bench/harness/hold-snapshot.ts";
import { claim } from "../../../src/store/claim.ts";
import { HOT, openPool, type Sql } from "../../../src/store/db.ts";
import { until } from "../../support/until.ts";
import { WORKER_TOKEN } from "../broker-process.ts";
import type { Cell } from "../cell.ts";
import type { Dice } from "../dice.ts";
import { pass } from "../pace.ts";
import { Player } from "../player.ts";
import type { CrowdSettings } from "../players/crowd.ts";
import { TYPE } from "../players/settings.ts";
import { LEASE_MS, type World } from "../world.ts";

const DEAD_ROWS = { quick: 50_000, full: 1_000_000 };
const CROWD = { quick: { workers: 500, processes: 2 }, full: { workers: 5_000, processes: 4 } };
const CROWD_LEASE_MS = 10_000;
const PER_CONNECTION = 100;
const BACK_WITHIN_MS = 30_000;

/** The ways to let go of the snapshots that are held. */
const snapshots = new WeakMap<World, () => Promise<void>>();

/** How long it took until all were back, and who was not. */
const comebacks = new WeakMap<World, { ms: number[]; missing: string[] }>();

export const LOADS: readonly Cell[] = [
  {
    name: "held-snapshot",
    about: "a transaction is left open over 50,000 dead rows (a million in a full run), and brokers are killed",
    // Where vacuum looks often, and in vain.
    world: { cluster: { autovacuum_naptime: "1s" }, load: { perSecond: 30 } },
    async deal(world, dice, { full, round }) {
      if (round === 1) await pileUp(world, full ? DEAD_ROWS.full : DEAD_ROWS.quick);
      const link = dice.pick(world.linksOf(/>db$/));
      world.fault(`reset of ${link.name}`);
      link.cut();
      await pass(dice.between(100, 400));
      const broker = dice.pick(world.brokers);
      world.fault(`kill -9 of broker ${broker.name}`);
      await broker.end("SIGKILL");
      await broker.start();
    },
    // All jobs had to end under it.
    look: letGo,
  },
  {
    name: "reconnecting",
    about: "500 streaming workers (5,000 in a full run) whose lines are cut at once, and brokers that restart",
    world: {
      // So many pings and heartbeats as the others have would be all that the machine does.
      settings: {
        LEASE_TTL_MS: String(CROWD_LEASE_MS),
        WORK_PING_MS: "5000",
        WORK_SILENCE_MS: "15000",
        WORK_ACK_TIMEOUT_MS: "5000",
      },
      workers: { stream: 1, plain: 0, legacy: 0 },
      load: { perSecond: 100, batch: 10, ms: 400 },
    },
    async deal(world, dice, { full, round }) {
      if (round === 1) await gather(world, full ? CROWD.full : CROWD.quick);
      for (const link of world.linksOf(/^crowd/)) {
        world.fault(`reset of ${link.name}`);
        link.cut();
        if (dice.chance(0.3)) link.set("refuse");
      }
      if (dice.chance(0.6)) await restart(world, dice);
      await pass(dice.between(100, 500));
      for (const link of world.links) link.heal();
      await comeBack(world);
    },
    look: async (world) => {
      await comeBack(world);
      const { ms, missing } = comebacks.get(world) ?? { ms: [], missing: [] };
      world.remarks.push(`all were back after ${Math.max(...ms)} ms at the most`);
      return missing;
    },
  },
];

/** Takes a snapshot, and leaves what many jobs leave since then, where all claims look first. */
async function pileUp(world: World, rows: number): Promise<void> {
  const { sql, options } = world;
  const url = options.cluster.urlOf(options.name);
  const before = await claimMs(url);
  snapshots.set(world, await holdSnapshot(url));
  world.fault(`a snapshot is held over ${rows} dead rows`);
  for (let from = 0; from < rows; from += 50_000) await leaveDead(sql, Math.min(50_000, rows - from));
  const after = await claimMs(url);
  world.remarks.push(`a claim took ${before.toFixed(1)} ms, and ${after.toFixed(1)} ms over ${rows} dead rows`);
}

/** Lets go of the snapshot; answers what is wrong, if it was lost before. */
async function letGo(world: World): Promise<string[]> {
  try {
    await snapshots.get(world)?.();
    return [];
  } catch (error) {
    return [String(error)];
  }
}

/** One transaction adds them and takes them away: nobody ever sees one. No trigger writes that down. */
async function leaveDead(sql: Sql, rows: number): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`SET LOCAL session_replication_role = replica`;
    await tx`
      INSERT INTO ai_ready (job_type, priority, run_at, id, bytes)
      SELECT ${TYPE}, 0, now() - interval '1 hour', -g, 2 FROM generate_series(1, ${rows}::int) g`;
    await tx`DELETE FROM ai_ready WHERE id < 0`;
    await tx`
      INSERT INTO ai_lease (id, expires_at, worker_id)
      SELECT -g, now() + interval '1 hour', 'nobody' FROM generate_series(1, ${rows}::int) g`;
    await tx`DELETE FROM ai_lease WHERE id < 0`;
  });
}

class Undone extends Error {}

/** How long a claim of one job takes, as a broker makes it; it is undone. */
async function claimMs(url: string): Promise<number> {
  const sql = openPool({ url, statementTimeoutMs: 60_000, lockTimeoutMs: 5_000 }, 1, HOT);
  const who = { workerId: "measure", requestId: null, limit: 1 };
  const what = { types: [TYPE], leaseMs: LEASE_MS, maxBytes: 3_000_000, token: "measure" };
  let ms = 0;
  const once = () =>
    sql.begin(async (tx) => {
      const since = performance.now();
      await claim(tx as unknown as Sql, { ...who, ...what });
      ms = performance.now() - since;
      throw new Undone();
    });
  try {
    // The first one plans the statement.
    for (let nth = 0; nth < 2; nth++) {
      await once().catch((error: unknown) => {
        if (!(error instanceof Undone)) throw error;
      });
    }
    return ms;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Adds the crowd to the world's workers. */
async function gather(world: World, { workers, processes }: (typeof CROWD)["full"]): Promise<void> {
  const { seed, folder } = world.options;
  const facts = { token: WORKER_TOKEN, leaseMs: CROWD_LEASE_MS, seed, seats: 1, perConnection: PER_CONNECTION };
  for (let nth = 1; nth <= processes; nth++) {
    const name = `crowd${nth}`;
    const settings: CrowdSettings = { ...facts, name, urls: await world.linesOf(name), workers: workers / processes };
    world.workers.push(new Player({ name, module: "crowd", settings, folder }));
  }
  await comeBack(world);
  // How long its processes take to start is not of interest.
  comebacks.set(world, { ms: [], missing: [] });
}

async function restart(world: World, dice: Dice): Promise<void> {
  const broker = dice.pick(world.brokers);
  const signal = dice.pick(["SIGTERM", "SIGKILL"] as const);
  world.fault(`${signal} of broker ${broker.name}`);
  await broker.end(signal);
  await broker.start();
}

/** Until each of the crowd has a stream again. */
async function comeBack(world: World): Promise<void> {
  const crowds = world.worker(/^crowd/);
  const known = comebacks.get(world);
  const since = performance.now();
  const areBack = async () => {
    const counts = await Promise.all(crowds.map((crowd) => crowd.ask<number>("away")));
    return counts.every((away) => away === 0);
  };
  const back = await until("all are back", areBack, BACK_WITHIN_MS).catch(() => false);
  known?.ms.push(Math.round(performance.now() - since));
  if (!back) known?.missing.push(`not all of the crowd were back ${BACK_WITHIN_MS} ms after the lines carried again`);
}
