/**
 * A Postgres with a synchronous standby. A commit is told only when both have it, so whichever of them is lost, no
 * acknowledged commit is. After a fail-over a new standby follows the new primary, and until it does no commit is told.
 */
import { execFile } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Sql } from "../../src/store/db.ts";
import { until } from "../support/until.ts";
import { copyAsStandby } from "./base-backup.ts";
import { adminPool, type Cluster, dataDirOf, furnish, type Server, startServer } from "./ground.ts";
import { type Address, Link } from "./proxy.ts";

export interface Pair extends Cluster {
  /** Kills the primary, promotes its standby, leads all there, and gives it a standby of its own. */
  failOver(): Promise<void>;
}

interface Member extends Server {
  folder: string;
}

const SETTINGS = {
  // What a new standby needs from before its first connection.
  wal_keep_size: "64MB",
  wal_retrieve_retry_interval: "100ms",
};
const PROMOTED_WITHIN_S = 20;
const FOLLOWS_WITHIN_MS = 30_000;

export async function openPair(folder: string): Promise<Pair> {
  const first = await startMember(join(folder, "member-1"));
  const cluster = await furnish(first);
  // As in production, clients know one address that leads to whoever is the primary.
  const front = await Link.open({ name: "all>primary", to: first.address });
  const members = new Members(folder, first, front);
  const stop = async () => {
    await Promise.all([cluster.stop(), members.stop()]);
    await front.close();
  };
  try {
    // In a file, so that each copy has it, too.
    await withSql(first, async (sql) => {
      await sql`ALTER SYSTEM SET synchronous_standby_names = '*'`;
      await sql`SELECT pg_reload_conf()`;
    });
    await members.addStandby();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    ...cluster,
    address: { port: front.port },
    urlOf: (database) => `postgres://postgres@127.0.0.1:${front.port}/${database}`,
    pid: () => members.primary.pid(),
    failOver: () => members.failOver(),
    stop,
  };
}

class Members {
  primary: Member;
  readonly #folder: string;
  readonly #front: Link;
  #standby: Member | undefined;
  #made = 1;

  constructor(folder: string, primary: Member, front: Link) {
    this.#folder = folder;
    this.primary = primary;
    this.#front = front;
  }

  /** Copies the primary, and has the copy follow it. Resolves when each commit waits for it. */
  async addStandby(): Promise<void> {
    const { primary } = this;
    const folder = join(this.#folder, `member-${++this.#made}`);
    await copyAsStandby(primary.urlOf("postgres"), pgdataOf(primary.folder), pgdataOf(folder));
    this.#standby = await startMember(folder, { primary_conninfo: `${addressText(primary.address)} user=postgres` });
    await withSql(primary, async (sql) => {
      const follows = () => sql`SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'`;
      await until("the standby is synchronous", async () => (await follows()).length > 0, FOLLOWS_WITHIN_MS);
    });
  }

  async failOver(): Promise<void> {
    const [lost, next] = [this.primary, this.#standby];
    if (next === undefined) throw new Error("there is no standby to fail over to");
    const pid = await lost.pid();
    // As when its machine goes. Of a Postgres whose postmaster alone is killed, the sessions answer for some ms, and show
    // each other commits that have given up their wait for the standby.
    this.#front.to = undefined;
    this.#front.cut();
    process.kill(pid, "SIGKILL");
    // In the same turn, before anybody hears of the end: so it is not started again.
    await lost.stop();
    await withSql(next, promote);
    this.primary = next;
    this.#standby = undefined;
    this.#front.to = next.address;
    await clearAway(pgdataOf(lost.folder));
    await this.addStandby();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#standby?.stop(), this.primary.stop()]);
  }
}

async function startMember(folder: string, settings: Record<string, string> = {}): Promise<Member> {
  return { ...(await startServer(folder, { ...SETTINGS, ...settings })), folder };
}

function pgdataOf(folder: string): string {
  return join(dataDirOf(folder), "postgres");
}

async function withSql(server: Server, use: (sql: Sql) => PromiseLike<unknown>): Promise<void> {
  const sql = adminPool(server.urlOf("postgres"));
  try {
    await use(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function promote(sql: Sql): Promise<void> {
  const [row] = await sql`SELECT pg_promote(true, ${PROMOTED_WITHIN_S}::text::int) AS done`;
  if (row?.["done"] !== true) throw new Error(`the standby was not promoted within ${PROMOTED_WITHIN_S} s`);
}

/** The data of a Postgres that was killed, and its segment of shared memory, which else only its next start removes. */
async function clearAway(pgdata: string): Promise<void> {
  const lock = await readFile(join(pgdata, "postmaster.pid"), "utf8");
  const [, segment = ""] = lock.split("\n")[6]?.trim().split(/\s+/) ?? [];
  await promisify(execFile)("ipcrm", ["--shmem-id", segment]);
  await rm(pgdata, { recursive: true, force: true, maxRetries: 5 });
}

/** As libpq takes it. */
function addressText(address: Address): string {
  if (!("path" in address)) return `host=127.0.0.1 port=${address.port}`;
  const [, folder, port] = /^(.*)\/\.s\.PGSQL\.(\d+)$/.exec(address.path) ?? [];
  return `host=${folder} port=${port}`;
}
