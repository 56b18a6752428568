/** Which connections of a pool are dead, by their silence (docs/decisions/028). */

/** How often it is looked who is silent. Counted in ticks that were seen: while a process sleeps nobody can be heard. */
export const TICK_MS = 1_000;
/** After so many ticks of one that was asked those that nobody uses are given up as well: to make a new one costs little. */
const IDLE_PATIENCE = 2;
/** Of the first patience: with seven seconds a quarter of an hour, as long as the kernel waits. */
const MOST_PATIENCE = 128;

/** Calls it once a tick until what it returns is called; it keeps no process alive. */
export type EveryTick = (look: () => void) => () => void;

export const everyTick: EveryTick = (look) => {
  let timer: NodeJS.Timeout;
  const next = () => {
    timer = setTimeout(() => {
      look();
      next();
    }, TICK_MS).unref();
  };
  next();
  return () => clearTimeout(timer);
};

/** A connection as far as it can be heard. */
export interface Heard {
  /** Statements under way. */
  readonly pending: number;
  /** The tick at which it last brought something, or was made. */
  readonly heardAt: number;
  /** The tick since which it owes a word, and has brought none; undefined: it owes nothing. */
  readonly askedAt: number | undefined;
  readonly start: Start;
  listen(tick: number): void;
}

/** What a connection is given when it is made. */
export interface Start {
  tick: number;
  /** How many cuts had come before: each of a connection that was made since the one before. */
  round: number;
  /** Ticks for which it may be silent. */
  patience: number;
}

/**
 * Where new connections fare no better, it is Postgres that hangs, at its disk or at its standby, and what is cut leaves a
 * process behind that cannot be ended, out of max_connections: patience doubles with each round of them, until one writes.
 */
export class Silence {
  readonly #least: number;
  #tick = 0;
  #round = 0;
  /** The round up to which all is well. */
  #wellAt = 0;
  #cutAt = 0;

  /** `longestMs`: how long Postgres may take at most for a word; Infinity: nobody knows. */
  constructor(longestMs: number) {
    this.#least = Math.ceil(longestMs / TICK_MS);
  }

  get start(): Start {
    return { tick: this.#tick, round: this.#round, patience: this.#patience };
  }

  get #patience(): number {
    return this.#least * Math.min(2 ** Math.max(0, this.#round - this.#wellAt - 1), MOST_PATIENCE);
  }

  /** A new connection has written: it was the way to Postgres that failed, not Postgres. */
  writes(): void {
    this.#wellAt = this.#round;
  }

  /** Whether it owes a word for longer than most do. */
  isSuspect({ askedAt = this.#tick }: Heard): boolean {
    return this.#tick - askedAt >= IDLE_PATIENCE;
  }

  /** Once a tick: those of the pool's connections that are dead, and those that may be and that nobody uses. */
  look<L extends Heard>(lines: readonly L[]): { dead: L[]; unused: L[] } {
    this.#tick += 1;
    for (const line of lines) line.listen(this.#tick);
    const patienceOf = ({ start }: L) => Math.min(start.patience, this.#patience);
    const dead = lines.filter((line) => this.#tick - (line.askedAt ?? this.#tick) >= patienceOf(line));
    const since = Math.max(...lines.filter((line) => this.isSuspect(line)).map(({ askedAt = 0 }) => askedAt));
    const unused = lines.filter(({ pending, heardAt }) => pending === 0 && heardAt <= since);
    if (dead.length === 0) {
      if (this.#tick - this.#cutAt > 2 * this.#patience) this.#wellAt = this.#round;
    } else {
      if (dead.some(({ start }) => start.round >= this.#round)) this.#round += 1;
      this.#cutAt = this.#tick;
    }
    return { dead, unused };
  }
}
