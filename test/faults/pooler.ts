/** A Postgres behind a PgBouncer in transaction mode, set up as docs/deploy.md says. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { environment } from "../../src/config.ts";
import { addressOf, socketUrl } from "../../src/store/address.ts";
import { HOT } from "../../src/store/db.ts";
import { type Account, chooseAccount } from "../../src/store/embedded-account.ts";
import { until } from "../support/until.ts";
import { ended, endWithUs } from "./child-end.ts";
import { adminPool, type Cluster, openCluster } from "./ground.ts";

export interface Pooled extends Cluster {
  pooler: Pooler;
}

const PORT = 6432;
/** Of this version and later ones statements can be prepared through it. */
const PREPARES_SINCE = [1, 21] as const;
/** What a broker asks of each connection, and a pooler refuses to hand on: it is set on the server's side. */
const SESSION = {
  statement_timeout: "2000",
  lock_timeout: "800",
  idle_in_transaction_session_timeout: "5000",
  ...HOT,
};

/** Why there can be none here; undefined where there can. */
export async function noPooler(): Promise<string | undefined> {
  return await versionOf().then(
    () => undefined,
    () => "there is no pgbouncer on PATH, nor at PGBOUNCER_BIN",
  );
}

export async function openPooled(folder: string): Promise<Pooled> {
  const version = await versionOf();
  const cluster = await openCluster(folder);
  try {
    const pooler = new Pooler(folder, await chooseAccount(folder), version);
    pooler.configure(cluster.urlOf("postgres"));
    await pooler.start();
    return {
      ...cluster,
      pooler,
      address: { path: pooler.socket },
      urlEnd: prepares(version) ? "" : "?prepare=false",
      settingsFor: (database) => ({ DATABASE_DIRECT_URL: cluster.urlOf(database) }),
      stop: () => pooler.kill().finally(() => cluster.stop()),
    };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

export class Pooler {
  readonly #folder: string;
  readonly #account: Account;
  readonly #version: Version;
  #child: ChildProcess | undefined;

  constructor(folder: string, account: Account, version: Version) {
    this.#folder = folder;
    this.#account = account;
    this.#version = version;
  }

  get socket(): string {
    return join(this.#folder, `.s.PGSQL.${PORT}`);
  }

  configure(serverUrl: string): void {
    const { host = "" } = addressOf(serverUrl);
    const { port } = new URL(serverUrl);
    const session = Object.entries(SESSION).map(([name, value]) => `SET ${name} = ${value}`);
    const lines = [
      "[databases]",
      `* = host=${host} port=${port} user=postgres connect_query='${session.join("; ")}'`,
      "[pgbouncer]",
      "pool_mode = transaction",
      // Fewer than both brokers have.
      "default_pool_size = 10",
      "max_client_conn = 400",
      ...(prepares(this.#version) ? ["max_prepared_statements = 200"] : []),
      `ignore_startup_parameters = ${Object.keys(SESSION).join(", ")}`,
      "server_login_retry = 0.1",
      "auth_type = any",
      "admin_users = postgres",
      "listen_addr =",
      `listen_port = ${PORT}`,
      `unix_socket_dir = ${this.#folder}`,
    ];
    writeFileSync(this.#settings, `${lines.join("\n")}\n`);
  }

  async start(): Promise<void> {
    const log = openSync(join(this.#folder, "pgbouncer.log"), "a");
    const { prefix, ids } = this.#account;
    const [program = "", ...args] = [...prefix, binary(), this.#settings];
    const child = spawn(program, args, { stdio: ["ignore", log, log], ...ids });
    closeSync(log);
    endWithUs(child);
    this.#child = child;
    await until("PgBouncer answers", async () => ended(child) || (await answers(this.socket)));
    if (ended(child)) throw new Error(`PgBouncer has ended: see pgbouncer.log in ${this.#folder}`);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || ended(child)) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  /** A command of its console. */
  async say(command: "RECONNECT" | "PAUSE" | "RESUME"): Promise<void> {
    const sql = adminPool(socketUrl(this.#folder, PORT, "pgbouncer"));
    try {
      await sql.unsafe(command);
    } finally {
      await sql.end({ timeout: 1 });
    }
  }

  get #settings(): string {
    return join(this.#folder, "pgbouncer.ini");
  }
}

type Version = [number, number];

function prepares([major, minor]: Version): boolean {
  const [since, sinceMinor] = PREPARES_SINCE;
  return major > since || (major === since && minor >= sinceMinor);
}

async function versionOf(): Promise<Version> {
  const { stdout } = await promisify(execFile)(binary(), ["--version"]);
  const [, major, minor] = /(\d+)\.(\d+)/.exec(stdout) ?? [];
  return [Number(major), Number(minor)];
}

function binary(): string {
  return environment()["PGBOUNCER_BIN"] || "pgbouncer";
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
