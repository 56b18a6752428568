/** The broker's pools, as its settings say. */
import type { Logger } from "pino";
import type { Config } from "../config.ts";
import { type Database, openDatabase } from "../store/db.ts";

/** No connection is made before the first statement; what Postgres says by the way is logged. */
export function openBrokerDatabase(config: Config, url: string, log: Logger): Database {
  return openDatabase({
    url,
    directUrl: config.databaseDirectUrl,
    poolSize: config.databasePool,
    reservedSize: config.databaseReservedPool,
    statementTimeoutMs: config.statementTimeoutMs,
    lockTimeoutMs: config.lockTimeoutMs,
    onNotice: (message) => log.debug({ message }, "the database says"),
    onSilence: (connections) =>
      log.warn(
        { connections },
        "Postgres owed an answer for longer than STATEMENT_TIMEOUT_MS and 2 s: the connections were given up, and new ones are tried; " +
          "look at the network to it, its disk and standby, and at a pooler that is full (docs/deploy.md)",
      ),
  });
}
