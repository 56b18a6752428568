/** Jobs whose worker never saw them, on their way back to the queue; while the database is away they wait here. */
import type { Logger } from "pino";
import type { LeaseRef } from "../store/rows.ts";

export interface ReturnsOptions {
  /** Gives leases back with no attempt spent, but those that the worker has named since: it has them after all. */
  giveBack: (workerId: string, leases: LeaseRef[], reason: string) => Promise<unknown>;
  log: Logger;
}

const NEVER_ACKED = "the stream ended before the jobs were acked";

export class Returns {
  readonly #options: ReturnsOptions;
  #owed: { workerId: string; leases: LeaseRef[] }[] = [];
  #retrying: Promise<void> | undefined;

  constructor(options: ReturnsOptions) {
    this.#options = options;
  }

  /** Now, or as soon as the database is there again; never rejects. */
  async giveBack(workerId: string, leases: LeaseRef[]): Promise<void> {
    try {
      await this.#options.giveBack(workerId, leases, NEVER_ACKED);
    } catch (err) {
      this.#owed.push({ workerId, leases });
      this.#options.log.warn({ worker: workerId, leases: leases.length, err }, "jobs cannot be given back yet");
    }
  }

  /** Tries again what could not be given back; a second call waits for the one under way. */
  retry(): Promise<void> {
    this.#retrying ??= this.#retry().finally(() => {
      this.#retrying = undefined;
    });
    return this.#retrying;
  }

  async #retry(): Promise<void> {
    await Promise.all(this.#owed.splice(0).map(({ workerId, leases }) => this.giveBack(workerId, leases)));
  }
}
