/** The world of one cell: two brokers, workers of three kinds, a producer, a database, and a line between each two. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Sql } from "../../src/store/db.ts";
import { until } from "../support/until.ts";
import { API_TOKEN, BrokerProcess, WORKER_TOKEN } from "./broker-process.ts";
import { adminPool, type Cluster } from "./ground.ts";
import { openRecorder, type Recorder } from "./history/record.ts";
import { nowUs } from "./pace.ts";
import { Player } from "./player.ts";
import type { PlainSettings } from "./players/plain-worker.ts";
import type { Load, ProducerSettings } from "./players/producer.ts";
import type { WorkerSettings } from "./players/settings.ts";
import { type Address, Link } from "./proxy.ts";

export interface WorldOptions {
  name: string;
  seed: number;
  folder: string;
  cluster: Cluster;
  settings: Record<string, string>;
  /** How many of each kind, and how the plain ones report. */
  workers: { stream: number; plain: number; legacy: number; seats: number };
  plain: Partial<Pick<PlainSettings, "habit" | "copies" | "seats">>;
  load: Load;
  /** Options of each broker's Node. */
  nodeOptions: string[][];
  /** The folder of the program that has made the database, and that the brokers begin with. */
  code: string;
  /** What is done once the brokers are up, before the first job. */
  begin: (world: World) => Promise<void>;
}

/** Leases so short that a cell sees many of them end; the rest follows from it. */
export const LEASE_MS = 2_000;
export const SHIM_LEASE_MS = 3_000;
export const BACKOFF = { baseMs: 50, maxMs: 400 };
export const CANCEL_GRACE_MS = 1_000;
export const MAX_DELIVERIES = 1_000;

const SETTINGS: Record<string, string> = {
  LEASE_TTL_MS: String(LEASE_MS),
  SHIM_LEASE_TTL_MS: String(SHIM_LEASE_MS),
  DEFAULT_MAX_ATTEMPTS: "100",
  MAX_DELIVERIES: String(MAX_DELIVERIES),
  BACKOFF_BASE_MS: String(BACKOFF.baseMs),
  BACKOFF_MAX_MS: String(BACKOFF.maxMs),
  CANCEL_GRACE_MS: String(CANCEL_GRACE_MS),
  RECLAIM_EVERY_MS: "100",
  POLL_EVERY_MS: "200",
  WORK_PING_MS: "500",
  WORK_SILENCE_MS: "1500",
  WORK_ACK_TIMEOUT_MS: "1500",
  WATCH_HEARTBEAT_MS: "500",
  SHUTDOWN_TIMEOUT_MS: "3000",
  STATEMENT_TIMEOUT_MS: "2000",
  LOCK_TIMEOUT_MS: "800",
};

const UP_WITHIN_MS = 60_000;

export class World {
  readonly options: WorldOptions;
  readonly brokers: BrokerProcess[] = [];
  readonly workers: Player[] = [];
  readonly links: Link[] = [];
  readonly sql: Sql;
  readonly recorder: Recorder;
  faults = 0;
  /** What is worth to be said of the cell that is played. */
  remarks: string[] = [];
  /** Where the history of the cell that is played begins: jobs of those before have ended, and nobody touches them. */
  from = { at: 0, nth: 0 };
  #producer: Player | undefined;

  private constructor(options: WorldOptions) {
    this.options = options;
    this.sql = adminPool(options.cluster.urlOf(options.name));
    this.recorder = openRecorder(join(options.folder, "nemesis.jsonl"), "nemesis");
  }

  /** Resolves when the first job has been done. */
  static async open(options: WorldOptions): Promise<World> {
    mkdirSync(options.folder, { recursive: true });
    await options.cluster.create(options.name, options.code);
    const world = new World(options);
    try {
      await world.#openBrokers();
      await world.#openPlayers();
      await until("the first job is done", () => world.hasEnded(0), UP_WITHIN_MS);
    } catch (error) {
      await world.close();
      throw error;
    }
    return world;
  }

  get producer(): Player {
    if (this.#producer === undefined) throw new Error("there is no producer yet");
    return this.#producer;
  }

  /** The lines whose name, `FROM>TO`, fits. */
  linksOf(name: RegExp): Link[] {
    return this.links.filter((link) => name.test(link.name));
  }

  worker(name: RegExp): Player[] {
    return this.workers.filter((worker) => name.test(worker.name));
  }

  /** Counts a fault, and writes it into the history. */
  fault(note: string): void {
    this.faults += 1;
    this.recorder.told("fault", { note });
  }

  note(note: string): void {
    this.recorder.told("note", { note });
  }

  /** All lines carry, all processes run. */
  async heal(): Promise<void> {
    for (const link of this.links) link.heal();
    for (const one of [...this.brokers, ...this.workers]) one.goOn();
    await until("Postgres is back", () => this.ask("SELECT 1"), UP_WITHIN_MS);
    for (const broker of this.brokers) if (!broker.isUp) await broker.start();
    for (const worker of this.workers) if (!worker.isUp) await worker.restart();
  }

  /** The players that have ended by themselves since it was asked last, in words. */
  takeFalls(): string[] {
    return [...this.workers, this.producer].flatMap((player) => player.takeFall() ?? []);
  }

  /** Whether a job has ended since then, in µs. */
  async hasEnded(sinceUs: number): Promise<boolean> {
    const since = new Date(sinceUs / 1_000).toISOString();
    return await this.ask(`SELECT FROM ai_job WHERE finished_at > '${since}' LIMIT 1`);
  }

  /** Whether the statement gives a row; false also while the database is away. */
  async ask(statement: string): Promise<boolean> {
    return await this.sql.unsafe(statement).then(
      (rows) => rows.length > 0,
      () => false,
    );
  }

  /** All that has happened belongs to the cells before. */
  async turnPage(): Promise<void> {
    const [row] = await this.sql`SELECT coalesce(max(nth), 0)::float8 AS nth FROM test_row_history`;
    this.from = { at: nowUs(), nth: Number(row?.["nth"]) };
  }

  /** Ends every process, and leaves the database. */
  async end(): Promise<void> {
    await Promise.all([...this.workers, ...(this.#producer ? [this.#producer] : [])].map((player) => player.kill()));
    await Promise.all(this.brokers.map((broker) => broker.end("SIGKILL")));
  }

  async close(): Promise<void> {
    await this.end();
    await Promise.all(this.links.map((link) => link.close()));
    this.recorder.close();
    await this.sql.end({ timeout: 1 });
  }

  async link(from: string, to: string, address?: Address): Promise<Link> {
    const port = this.brokers.find(({ name }) => name === to)?.port;
    const link = await Link.open({ name: `${from}>${to}`, to: address ?? (port === undefined ? port : { port }) });
    this.links.push(link);
    return link;
  }

  /** A line of this client's to each broker; answers where they begin. */
  async linesOf(client: string): Promise<string[]> {
    const links = await Promise.all(this.brokers.map(({ name }) => this.link(client, name)));
    return links.map(({ url }) => url);
  }

  async #openBrokers(): Promise<void> {
    const { cluster, name: database, folder, settings, nodeOptions, code } = this.options;
    for (const [at, name] of ["a", "b"].entries()) {
      const { port } = await this.link(name, "db", cluster.address);
      const broker = new BrokerProcess({
        name,
        databaseUrl: `postgres://postgres@127.0.0.1:${port}/${database}${cluster.urlEnd ?? ""}`,
        folder,
        settings: { ...SETTINGS, ...cluster.settingsFor?.(database), ...settings },
        code,
        nodeOptions: nodeOptions[at] ?? [],
        onPort: (port) => {
          for (const link of this.linksOf(new RegExp(`>${name}$`))) link.to = { port };
        },
      });
      this.brokers.push(broker);
    }
  }

  async #openPlayers(): Promise<void> {
    const { workers, plain, seed, folder, load, name: prefix, begin } = this.options;
    const names = (kind: string, count: number) => Array.from({ length: count }, (_, at) => `${kind}${at + 1}`);
    const start: (() => Player)[] = [];
    const facts = { token: WORKER_TOKEN, leaseMs: LEASE_MS, seed };
    for (const name of names("stream", workers.stream)) {
      const settings: WorkerSettings = { ...facts, name, urls: await this.linesOf(name), seats: workers.seats };
      start.push(() => new Player({ name, module: "stream-worker", settings, folder }));
    }
    for (const name of names("plain", workers.plain)) {
      const [urls, reportUrls] = [await this.linesOf(name), await this.linesOf(`${name}-reports`)];
      const own = { name, urls, reportUrls, seats: workers.seats, habit: "once" as const, copies: 1, ...plain };
      const settings: PlainSettings = { ...facts, ...own };
      start.push(() => new Player({ name, module: "plain-worker", settings, folder }));
    }
    for (const name of names("legacy", workers.legacy)) {
      const settings: WorkerSettings = { ...facts, name, urls: await this.linesOf(name), seats: 1 };
      start.push(() => new Player({ name, module: "legacy-worker", settings, folder }));
    }
    const urls = await this.linesOf("producer");
    await Promise.all(this.brokers.map((broker) => broker.start()));
    await begin(this);
    this.workers.push(...start.map((one) => one()));
    const settings: ProducerSettings = { token: API_TOKEN, urls, prefix, seed, load };
    this.#producer = new Player({ name: "producer", module: "producer", settings, folder });
  }
}
