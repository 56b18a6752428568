/**
 * Claims, and dispatches that went straight to a seat, whose answer was lost between Postgres and the broker. What they have
 * leased is nobody's: no worker was told of it, and it would lie there until its leases run out. It goes back unburnt; who
 * repeats its Claim with its request_id in time has it after all.
 */
import type { Logger } from "pino";
import { mayHaveHappened } from "../store/database-errors.ts";
import type { Database } from "../store/db.ts";
import { type LostLease, leasesOfClaims } from "../store/lost-leases.ts";
import type { LeaseRef } from "../store/rows.ts";
import { type Coalescer, createCoalescer } from "./coalescer.ts";

export interface LostClaimsOptions {
  /** The leases that claims with these tokens have made. */
  find: (tokens: readonly string[]) => Promise<LostLease[]>;
  /** Gives leases back with no attempt spent, but those that their worker has named since. */
  giveBack: (workerId: string, leases: LeaseRef[], reason: string) => Promise<unknown>;
  log: Logger;
  /** So long after its answer was lost a claim may still be at it in Postgres, and commit. */
  lastsMs: number;
  /** In ms; performance.now unless told. */
  now?: () => number;
}

/** A statement whose connection is gone may be at its commit for so long after its time is over. */
const COMMIT_MS = 5_000;

/** Those of a broker, whose claims take no longer than statementTimeoutMs. */
export function createLostClaims({
  db,
  statementTimeoutMs,
  ...options
}: Pick<LostClaimsOptions, "giveBack" | "log"> & {
  db: Pick<Database, "reserved">;
  statementTimeoutMs: number;
}): LostClaims {
  const find = (tokens: readonly string[]) => leasesOfClaims(db.reserved, tokens);
  return new LostClaims({ ...options, find, lastsMs: statementTimeoutMs + COMMIT_MS });
}

const ANSWER_LOST = "its answer was lost between Postgres and the broker";

/** Where nobody looks after them. */
export const NOT_WATCHED: Pick<LostClaims, "watch"> = { watch: (_token, claim) => claim() };

export class LostClaims {
  readonly #options: LostClaimsOptions;
  readonly #now: () => number;
  /** By token: until when it may still commit. */
  readonly #open = new Map<string, number>();
  readonly #looks: Coalescer<undefined, undefined>;

  constructor(options: LostClaimsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#looks = createCoalescer(
      async (asked) => {
        await this.#settle();
        return asked;
      },
      Number.POSITIVE_INFINITY,
      { again: () => false },
    );
  }

  /** Runs a claim with this token, and remembers it if its answer is lost. */
  async watch<T>(token: string, claim: () => Promise<T>): Promise<T> {
    try {
      return await claim();
    } catch (err) {
      if (mayHaveHappened(err)) this.#open.set(token, this.#now() + this.#options.lastsMs);
      throw err;
    }
  }

  /**
   * Gives back what lost claims have left so far; to be called again and again. Rejects while the database is away. However
   * many call at once, as when all workers come back, one look is under way, and one more begins behind it.
   */
  async settle(): Promise<void> {
    // What is under way may have looked before the caller's was there.
    await this.#looks.add([undefined]);
  }

  async #settle(): Promise<void> {
    if (this.#open.size === 0) return;
    const tokens = [...this.#open.keys()];
    const since = this.#now();
    const found = await this.#options.find(tokens);
    for (const [workerId, leases] of Map.groupBy(found, (lease) => lease.workerId)) {
      this.#options.log.warn(
        { worker: workerId, leases: leases.length },
        "jobs go back that were leased by a statement without an answer",
      );
      await this.#options.giveBack(workerId, leases, ANSWER_LOST);
    }
    for (const token of tokens) if ((this.#open.get(token) ?? 0) <= since) this.#open.delete(token);
  }
}
