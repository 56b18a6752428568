/**
 * A pool of connections that are never used again once they broke. postgres.js 3.4.9 goes on with a broken one: a
 * statement that it takes between the socket's `error` and its `close` is never sent, and after the reconnect gets the
 * answer to the next one, and that one the next one's; and bytes that were not flushed then stand before the next start-up
 * message (test/store/lines.test.ts, docs/decisions/023). So each connection here is a client of its own, with one socket in
 * its life; all that is left in it when that ends is rejected.
 *
 * Where Postgres is gone and nobody says so (a machine without power, a firewall that has forgotten the connection), the
 * kernel would wait a quarter of an hour. Postgres ends each statement by statement_timeout and says it: a connection that
 * stays silent for longer than that is dead.
 */
import type net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type postgres from "postgres";
import { connectTo } from "./connect.ts";
import { DURABLE } from "./durable.ts";
import { Line, type MakeClient, over, type Query } from "./line.ts";
import { type EveryTick, Silence } from "./silence.ts";

export type Sql = postgres.Sql;

export interface LinesOptions {
  client: MakeClient;
  /** Connections at most. */
  max: number;
  connectTimeoutMs: number;
  /** How long Postgres may be silent that owes an answer, by the settings of a client; Infinity: for ever. */
  silenceMs: (settings: postgres.ParsedOptions) => number;
  everyTick: EveryTick;
  /** Told when so many connections were given up for their silence. */
  onSilence?: ((connections: number) => void) | undefined;
}

/** After a failed connect: so much longer for each in a row. */
const BACKOFF_MS = 100;
const MOST_BACKOFF_MS = 1_000;

/** What is done in a transaction. */
type Work<T> = (tx: postgres.TransactionSql) => Promise<T>;

/**
 * As a pool of postgres.js, but for reserve and savepoints. A transaction has a connection of its own, of as many as there may
 * be.
 */
export function openLines(options: LinesOptions): Sql {
  const maker = options.client();
  const lines = new Lines(options, maker);
  return Object.assign(
    sqlOn(maker, (query) => lines.run(query)),
    {
      begin: <T>(...args: [Work<T>] | [string, Work<T>]) =>
        args.length === 1 ? lines.begin("", args[0]) : lines.begin(...args),
      reserve: () => Promise.reject(new Error("this pool has no connection to give away: use begin")),
      end: async (how?: { timeout?: number }) => {
        await Promise.all([lines.end(how), maker.end(how)]);
      },
    },
  ) as unknown as Sql;
}

/** Statements that are put together as the maker's, and run where the handler says. */
function sqlOn(maker: Sql, handler: Query["handler"]): Sql {
  const own = <T>(made: T): T => {
    if (made instanceof Promise) (made as unknown as Query).handler = handler;
    return made;
  };
  const sql = (first: never, ...rest: never[]) => own(maker(first, ...rest));
  const unsafe = (...args: Parameters<Sql["unsafe"]>) => own(maker.unsafe(...args));
  return Object.assign(sql, maker, { unsafe }) as unknown as Sql;
}

class Lines {
  readonly #options: LinesOptions;
  readonly #maker: Sql;
  readonly #open = new Set<Line>();
  /** Those who wait until a transaction of another has ended. */
  readonly #waiting: (() => void)[] = [];
  readonly #transactions = new Set<Line>();
  /** Tries to write, after others were given up. */
  #probe: Line | undefined;
  /** Connects in a row that failed. */
  #failed = 0;
  #ended = false;
  readonly #silence: Silence;
  #stopTicking: (() => void) | undefined;

  constructor(options: LinesOptions, maker: Sql) {
    this.#options = options;
    this.#maker = maker;
    this.#silence = new Silence(options.silenceMs(maker.options));
  }

  /** On a connection that is idle, a new one, or the one with the least to do. */
  run(query: Query): void {
    if (this.#ended) query.reject(over());
    else this.#pick().run(query);
  }

  /** With the options of BEGIN. */
  async begin<T>(how: string, work: Work<T>): Promise<T> {
    if (this.#transactions.size < this.#options.max) return await this.#transaction(how, work);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return await this.#transaction(how, work);
  }

  /** Not the driver's own, which writes its ROLLBACK to a socket that it has lost, and so ends the process. */
  async #transaction<T>(how: string, work: Work<T>): Promise<T> {
    if (this.#ended) throw over();
    const line = this.#made(() => undefined);
    this.#transactions.add(line);
    let fault: { error: unknown } | undefined;
    const tx = sqlOn(this.#maker, (query) => {
      query.catch((error: unknown) => {
        fault ??= { error };
      });
      line.run(query);
    });
    try {
      await tx.unsafe(`BEGIN ${how.replace(/[^a-z ]/gi, "")}`);
      const result = await work(tx as unknown as postgres.TransactionSql);
      // A COMMIT after a statement that failed would undo all, and say that it went well.
      if (fault !== undefined) throw fault.error;
      await tx`COMMIT`;
      return result;
    } catch (error) {
      await tx`ROLLBACK`.catch(() => undefined);
      throw error;
    } finally {
      this.#transactions.delete(line);
      void line.end({ timeout: 0 });
      this.#waiting.shift()?.();
    }
  }

  async end(how?: { timeout?: number }): Promise<void> {
    this.#ended = true;
    this.#stopTicking?.();
    for (const wake of this.#waiting.splice(0)) wake();
    await Promise.all(this.#all.map((line) => line.end(how)));
  }

  #pick(): Line {
    let least: Line | undefined;
    for (const line of this.#open) {
      if (line.pending === 0) return line;
      if (least === undefined || this.#hasLess(line, least)) least = line;
    }
    if (least !== undefined && this.#open.size >= this.#options.max) return least;
    const line: Line = this.#made(() => this.#open.delete(line));
    this.#open.add(line);
    return line;
  }

  /** To do, or more hope to have it done. */
  #hasLess(one: Line, other: Line): boolean {
    const [isSuspect, wasSuspect] = [this.#silence.isSuspect(one), this.#silence.isSuspect(other)];
    return isSuspect === wasSuspect ? one.pending < other.pending : wasSuspect;
  }

  #made(onOver: () => void): Line {
    this.#stopTicking ??= this.#options.everyTick(() => this.#listen());
    const { client } = this.#options;
    const line = new Line({ client, connect: () => this.#connect(), onOver, start: this.#silence.start });
    // Drizzle changes those of the pool that it is given.
    Object.assign(line.client.options.parsers, this.#maker.options.parsers);
    Object.assign(line.client.options.serializers, this.#maker.options.serializers);
    return line;
  }

  get #all(): Line[] {
    return [...this.#open, ...this.#transactions, ...(this.#probe === undefined ? [] : [this.#probe])];
  }

  #listen(): void {
    const { dead, unused } = this.#silence.look(this.#all);
    for (const line of dead) line.cut();
    for (const line of unused) if (this.#open.has(line)) line.cut();
    if (dead.length === 0) return;
    this.#options.onSilence?.(dead.length);
    if (this.#probe === undefined || dead.includes(this.#probe)) void this.#tryToWrite();
  }

  /** Where it was the way to Postgres that failed, and not Postgres, the next failure is found out as soon as this one. */
  async #tryToWrite(): Promise<void> {
    const line = this.#made(() => undefined);
    this.#probe = line;
    try {
      await sqlOn(this.#maker, (query) => line.run(query)).unsafe(`SELECT ${DURABLE}`);
      this.#silence.writes();
    } catch {
      // It is away, or hangs: patience grows with what is given up next.
    } finally {
      if (this.#probe === line) this.#probe = undefined;
      void line.end({ timeout: 0 });
    }
  }

  async #connect(): Promise<net.Socket> {
    if (this.#failed > 0) await sleep(Math.min(MOST_BACKOFF_MS, BACKOFF_MS * this.#failed));
    try {
      const socket = await connectTo(this.#maker.options, this.#options.connectTimeoutMs);
      this.#failed = 0;
      return socket;
    } catch (error) {
      this.#failed += 1;
      throw error;
    }
  }
}
