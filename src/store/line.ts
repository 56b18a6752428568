/** One connection of a pool that never uses one again once it broke (lines.ts): a client of postgres.js with one socket in its life. */
import type net from "node:net";
import type postgres from "postgres";
import type { Heard, Start } from "./silence.ts";

/** Makes a client: without a socket the one that statements are put together with, else one that has a single one. */
export type MakeClient = (own?: { socket: () => Promise<net.Socket>; onclose: () => void }) => postgres.Sql;

/** A statement of postgres.js: whoever has its handler decides where it runs. */
export interface Query extends Promise<unknown> {
  handler: (query: Query) => void;
  reject(error: Error): void;
}

interface LineOptions {
  client: MakeClient;
  connect: () => Promise<net.Socket>;
  onOver: () => void;
  start: Start;
}

/** From its first statement to its end. */
export class Line implements Heard {
  readonly client: postgres.Sql;
  readonly #onOver: () => void;
  readonly #handler: Query["handler"];
  #wasOpened = false;
  #isOver = false;
  #socket: net.Socket | undefined;
  #bytes = 0;
  #atStart = 0;
  readonly start: Start;
  pending = 0;
  heardAt: number;
  askedAt: number | undefined;

  constructor({ client, connect, onOver, start }: LineOptions) {
    this.#onOver = onOver;
    this.start = start;
    this.heardAt = start.tick;
    this.client = client({ socket: () => this.#open(connect), onclose: () => this.#retire() });
    this.#handler = (this.client.unsafe("") as unknown as Query).handler;
  }

  run(query: Query): void {
    if (this.#isOver) {
      query.reject(over());
      return;
    }
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

  /** Looks whether it has heard anything since the tick before. */
  listen(tick: number): void {
    const bytes = this.#socket?.bytesRead ?? 0;
    const heard = bytes > this.#bytes;
    this.#bytes = bytes;
    if (heard) this.heardAt = tick;
    // Until the first byte it is the driver's time-out for connects that counts.
    if (this.pending === 0 || bytes === this.#atStart) this.askedAt = undefined;
    else if (heard || this.askedAt === undefined) this.askedAt = tick;
  }

  /** Ends it at once: what waits on it may have happened, and gets no answer. */
  cut(): void {
    this.#retire();
    this.#socket?.destroy();
  }

  async #open(connect: () => Promise<net.Socket>): Promise<net.Socket> {
    if (this.#wasOpened) throw over();
    this.#wasOpened = true;
    try {
      const socket = await connect();
      this.#socket = socket;
      // Postgres' answer to the word for TLS.
      this.#atStart = socket.bytesRead;
      this.#bytes = socket.bytesRead;
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
export function over(): Error {
  return Object.assign(new Error("the connection is over"), { code: "CONNECTION_ENDED" });
}
