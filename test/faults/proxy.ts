/**
 * The network of a cell: a TCP relay for each line between two processes, which does to its bytes what networks do.
 *
 * cut: every connection is reset · refuse: and so is every new one · stall: no byte passes, and all of them pass when
 * it is over (a cable that is put back in time) · half-open: what is sent is lost, either way, and no end is told (the
 * peer is gone and nobody says so) · lose-replies: requests arrive, and when the first byte of an answer comes, it and
 * all that follow are lost and the connection is reset (committed, and the reply is lost) · a delay for each byte · flaky:
 * so it goes for a share of the requests, and as many never arrive.
 */
import { once } from "node:events";
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { addressOf } from "../../src/store/address.ts";
import { Lane } from "./lane.ts";

/** Where a line leads. */
export type Address = { port: number } | { path: string };

/** Where the Postgres of this URL listens. */
export function addressIn(databaseUrl: string): Address {
  const { url, host } = addressOf(databaseUrl);
  const port = Number(new URL(url).port);
  return host === undefined ? { port } : { path: join(host, `.s.PGSQL.${port}`) };
}

/** The same database, by way of the line that leads to it. */
export function urlThrough(link: Link, databaseUrl: string): string {
  const url = new URL(databaseUrl);
  url.searchParams.delete("host");
  url.host = `127.0.0.1:${link.port}`;
  return url.href;
}

export type Mode = "pass" | "refuse" | "stall" | "half-open" | "lose-replies";

export interface LinkOptions {
  name: string;
  /** Undefined: nobody is there yet, and connections are refused. */
  to: Address | undefined;
}

/** How often a request goes wrong. */
export interface Flaw {
  /** Of the pieces in which requests come: 0..1. */
  share: number;
  /** Draws 0 ≤ n < 1. */
  draw: () => number;
  onFault?: (what: "a lost request" | "a lost reply") => void;
}

/** The far end of a half-open line finds out after so long, if nothing else tells it: by its keep-alives. */
const KEEP_ALIVE_MS = 30_000;
/** How long the rest of a lost reply is swallowed before the connection is reset. */
const LINGER_MS = 20;

interface Wire {
  near: Socket;
  far: Socket;
  up: Lane;
  down: Lane;
  /** Dead for good: its ends have to find out. */
  lost: boolean;
}

export class Link {
  readonly name: string;
  /** Where connections go from now on. */
  to: Address | undefined;
  /** Replies that were lost so far. */
  lostReplies = 0;
  readonly #server: Server;
  readonly #wires = new Set<Wire>();
  #mode: Mode = "pass";
  #delayMs = 0;
  #flaw: Flaw | undefined;

  private constructor({ name, to }: LinkOptions, server: Server) {
    this.name = name;
    this.to = to;
    this.#server = server;
    server.on("connection", (near) => this.#accept(near));
  }

  /** Opens one on a free port of 127.0.0.1. */
  static async open(options: LinkOptions): Promise<Link> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Link(options, server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get connections(): number {
    return this.#wires.size;
  }

  /** From now on, for the connections there are and for new ones. */
  set(mode: Mode): void {
    this.#mode = mode;
    for (const wire of this.#wires) this.#apply(wire);
    if (mode === "refuse") this.cut();
  }

  /** Everything passes again. Connections that were half-open stay dead: nothing tells their ends of it. */
  heal(): void {
    this.delay(0);
    this.#flaw = undefined;
    this.set("pass");
  }

  /** Each byte takes this much longer, either way. */
  delay(ms: number): void {
    this.#delayMs = ms;
    for (const { up, down } of this.#wires) {
      up.delayMs = ms;
      down.delayMs = ms;
    }
  }

  /** From now on requests go wrong by chance, each with its connection. */
  flaky(flaw: Flaw): void {
    this.#flaw = flaw;
  }

  /** Resets every connection there is. */
  cut(): void {
    for (const wire of [...this.#wires]) this.#reset(wire);
  }

  async close(): Promise<void> {
    this.set("refuse");
    this.#server.close();
    await once(this.#server, "close");
  }

  #accept(near: Socket): void {
    near.on("error", () => undefined);
    if (this.to === undefined || this.#mode === "refuse") return void near.resetAndDestroy();
    const far = dial({ ...this.to, allowHalfOpen: true, noDelay: true });
    const up = new Lane(near, far);
    const wire: Wire = { near, far, up, down: new Lane(far, near, () => this.#replyCame(wire)), lost: false };
    this.#wires.add(wire);
    for (const lane of [wire.up, wire.down]) lane.delayMs = this.#delayMs;
    up.admits = () => this.#admits(wire);
    far.on("error", () => undefined);
    near.once("close", (failed) => this.#closed(wire, far, failed));
    far.once("close", (failed) => this.#closed(wire, near, failed));
    this.#apply(wire);
  }

  #apply(wire: Wire): void {
    if (wire.lost) return;
    wire.lost = this.#mode === "half-open";
    // Postgres has room for so many that nobody is at the other end of.
    if (wire.lost) setTimeout(() => reset(wire.far), KEEP_ALIVE_MS).unref();
    wire.up.dropping = wire.lost;
    wire.down.dropping = wire.lost || this.#mode === "lose-replies";
    wire.up.stall(this.#mode === "stall");
    wire.down.stall(this.#mode === "stall");
  }

  /** Whether a request arrives; where only its answer goes wrong, that is to come. */
  #admits(wire: Wire): boolean {
    const flaw = this.#flaw;
    if (flaw === undefined || flaw.draw() >= flaw.share) return true;
    const arrives = flaw.draw() < 0.5;
    flaw.onFault?.(arrives ? "a lost reply" : "a lost request");
    if (arrives) wire.down.dropping = true;
    else this.#reset(wire);
    return arrives;
  }

  /** A byte of an answer was dropped. */
  #replyCame(wire: Wire): void {
    if (wire.lost) return;
    wire.lost = true;
    this.lostReplies += 1;
    setTimeout(() => this.#reset(wire), LINGER_MS);
  }

  /** One end is gone. The other end is told, unless the line is dead: then it finds out by itself, or by a reset. */
  #closed(wire: Wire, other: Socket, failed: boolean): void {
    if (wire.lost && !other.destroyed) return;
    this.#wires.delete(wire);
    if (failed) reset(other);
    else other.destroy();
  }

  #reset(wire: Wire): void {
    this.#wires.delete(wire);
    wire.lost = false;
    wire.up.end();
    wire.down.end();
    for (const socket of [wire.near, wire.far]) reset(socket);
  }
}

/** A Unix socket knows no reset. */
function reset(socket: Socket): void {
  if (socket.remoteAddress === undefined) socket.destroy();
  else if (!socket.destroyed) socket.resetAndDestroy();
}
