/**
 * A pool of connections that are never used again once they broke. postgres.js 3.4.9 goes on with a broken one: a
 * statement that it takes between the socket's `error` and its `close` is never sent, and after the reconnect gets the
 * answer to the next one, and that one the next one's; and bytes that were not flushed then stand before the next start-up
 * message (test/store/lines.test.ts, docs/decisions/023). So each connection here is a client of its own, with one socket in
 * its life; all that is left in it when that ends is rejected.
 */
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type postgres from "postgres";

export type Sql = postgres.Sql;

export interface LinesOptions {
  /** Makes a client: without a socket the one that statements are put together with, else one that has a single one. */
  client: (own?: { socket: () => Promise<net.Socket>; onclose: () => void }) => Sql;
  /** Connections at most. */
  max: number;
  connectTimeoutMs: number;
}

/** A statement of postgres.js: whoever has its handler decides where it runs. */
interface Query extends Promise<unknown> {
  handler: (query: Query) => void;
  reject(error: Error): void;
}

/** After a failed connect: so much longer for each in a row. */
const BACKOFF_MS = 100;
const MOST_BACKOFF_MS = 1_000;

/** As a pool of postgres.js, but for reserve. A transaction has a connection of its own, of as many as there may be. */
export function openLines(options: LinesOptions): Sql {
  const maker = options.client();
  const lines = new Lines(options, maker);
  const own = <T>(made: T): T => {
    if (made instanceof Promise) (made as unknown as Query).handler = (query) => lines.run(query);
    return made;
  };
  const pool = (first: never, ...rest: never[]) => own(maker(first, ...rest));
  return Object.assign(pool, maker, {
    unsafe: (...args: Parameters<Sql["unsafe"]>) => own(maker.unsafe(...args)),
    begin: (...args: Parameters<Sql["begin"]>) => lines.begin((client) => client.begin(...args)),
    reserve: () => Promise.reject(new Error("this pool has no connection to give away: use begin")),
    end: async (how?: { timeout?: number }) => {
      await Promise.all([lines.end(how), maker.end(how)]);
    },
  }) as unknown as Sql;
}

class Lines {
  readonly #options: LinesOptions;
  readonly #maker: postgres.ParsedOptions;
  readonly #open = new Set<Line>();
  /** Those who wait until a transaction of another has ended. */
  readonly #waiting: (() => void)[] = [];
  readonly #transactions = new Set<Line>();
  /** Connects in a row that failed. */
  #failed = 0;
  #ended = false;

  constructor(options: LinesOptions, maker: Sql) {
    this.#options = options;
    this.#maker = maker.options;
  }

  /** On a connection that is idle, a new one, or the one with the least to do. */
  run(query: Query): void {
    if (this.#ended) query.reject(over());
    else this.#pick().run(query);
  }

  async begin<T>(run: (client: Sql) => Promise<T>): Promise<T> {
    if (this.#transactions.size < this.#options.max) return await this.#transaction(run);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return await this.#transaction(run);
  }

  async #transaction<T>(run: (client: Sql) => Promise<T>): Promise<T> {
    if (this.#ended) throw over();
    const line = this.#made(() => undefined);
    this.#transactions.add(line);
    line.pending += 1;
    try {
      return await run(line.client);
    } finally {
      line.pending -= 1;
      this.#transactions.delete(line);
      void line.end({ timeout: 0 });
      this.#waiting.shift()?.();
    }
  }

  async end(how?: { timeout?: number }): Promise<void> {
    this.#ended = true;
    for (const wake of this.#waiting.splice(0)) wake();
    await Promise.all([...this.#open, ...this.#transactions].map((line) => line.end(how)));
  }

  #pick(): Line {
    let least: Line | undefined;
    for (const line of this.#open) {
      if (line.pending === 0) return line;
      if (least === undefined || line.pending < least.pending) least = line;
    }
    if (least !== undefined && this.#open.size >= this.#options.max) return least;
    const line: Line = this.#made(() => this.#open.delete(line));
    this.#open.add(line);
    return line;
  }

  #made(onOver: () => void): Line {
    const line = new Line(this.#options.client, () => this.#connect(), onOver);
    // Drizzle changes those of the pool that it is given.
    Object.assign(line.client.options.parsers, this.#maker.parsers);
    Object.assign(line.client.options.serializers, this.#maker.serializers);
    return line;
  }

  async #connect(): Promise<net.Socket> {
    if (this.#failed > 0) await sleep(Math.min(MOST_BACKOFF_MS, BACKOFF_MS * this.#failed));
    try {
      const socket = await connectTo(this.#maker, this.#options.connectTimeoutMs);
      this.#failed = 0;
      return socket;
    } catch (error) {
      this.#failed += 1;
      throw error;
    }
  }
}

/** One connection, from its first statement to its end. */
class Line {
  readonly client: Sql;
  readonly #onOver: () => void;
  readonly #handler: Query["handler"];
  #wasOpened = false;
  #isOver = false;
  /** Statements under way. */
  pending = 0;

  constructor(client: LinesOptions["client"], connect: () => Promise<net.Socket>, onOver: () => void) {
    this.#onOver = onOver;
    this.client = client({ socket: () => this.#socket(connect), onclose: () => this.#retire() });
    this.#handler = (this.client.unsafe("") as unknown as Query).handler;
  }

  run(query: Query): void {
    this.pending += 1;
    const done = () => {
      this.pending -= 1;
    };
    query.then(done, done);
    this.#handler(query);
  }

  async end(how?: { timeout?: number }): Promise<void> {
    await this.client.end(how).catch(() => undefined);
  }

  async #socket(connect: () => Promise<net.Socket>): Promise<net.Socket> {
    if (this.#wasOpened) throw over();
    this.#wasOpened = true;
    try {
      const socket = await connect();
      // Before the driver hears of it, so that it gets no more statements.
      socket.once("error", () => this.#retire());
      socket.once("close", () => this.#retire());
      return socket;
    } catch (error) {
      this.#retire();
      throw error;
    }
  }

  /** Its socket is over: what is left in it, if anything is, will have no answer. */
  #retire(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onOver();
    if (this.pending > 0) void this.end({ timeout: 0 });
  }
}

/** As the driver says it: nothing was sent. */
function over(): Error {
  return Object.assign(new Error("the connection is over"), { code: "CONNECTION_ENDED" });
}

/** A socket to the first host that takes it. */
async function connectTo(address: postgres.ParsedOptions, timeoutMs: number): Promise<net.Socket> {
  const { path, host, port } = address;
  if (typeof path === "string" && path !== "") return await connected({ path }, timeoutMs);
  let fault: unknown;
  for (const [at, name] of host.entries()) {
    try {
      return await connected({ host: name, port: port[at] ?? 5432 }, timeoutMs);
    } catch (error) {
      fault = error;
    }
  }
  throw fault;
}

function connected(to: { path: string } | { host: string; port: number }, timeoutMs: number): Promise<net.Socket> {
  const socket = net.connect(to);
  return new Promise((resolve, reject) => {
    const where = "path" in to ? to.path : `${to.host}:${to.port}`;
    const late = Object.assign(new Error(`no connection to ${where} within ${timeoutMs} ms`), {
      code: "CONNECT_TIMEOUT",
    });
    const timer = setTimeout(() => socket.destroy(late), timeoutMs);
    socket.once("error", reject);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", reject);
      // The driver takes the name for TLS from here.
      resolve(Object.assign(socket, to));
    });
    socket.once("close", () => clearTimeout(timer));
  });
}
