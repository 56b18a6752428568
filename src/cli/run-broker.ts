/** One life of a broker process: database, broker, the wait for a signal, and the stop in reverse order. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { startBroker } from "../broker.ts";
import { type Config, shownSettings } from "../config.ts";
import { provideDatabase } from "./database.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { isLoopback } from "./loopback.ts";
import { stopSignals } from "./signals.ts";

export interface Ready {
  url: string;
  /** For people: where the data is. */
  where: string;
}

// What the parts of a stop may take beyond the calls that SHUTDOWN_TIMEOUT_MS bounds.
const STOP_MARGIN_MS = 5_000;

/** Runs until SIGINT or SIGTERM; a second one ends the process at once. */
export async function runBroker(
  config: Config,
  log: Logger,
  ready: (at: Ready) => void | Promise<void>,
): Promise<ExitCode> {
  const signals = stopSignals();
  try {
    const database = await provideDatabase(config, log);
    try {
      return await serveUntil(signals.signal, config, log, database, ready);
    } finally {
      // Last of all: the drain still writes.
      await database.stop();
    }
  } finally {
    signals.dispose();
  }
}

async function serveUntil(
  signal: AbortSignal,
  config: Config,
  log: Logger,
  database: { url: string; where: string },
  ready: (at: Ready) => void | Promise<void>,
): Promise<ExitCode> {
  if (signal.aborted) return EXIT.ok;
  warnIfOpen(config, log);
  const broker = await startBroker({ config, databaseUrl: database.url, log, settings: shownSettings(config) });
  await ready({ url: broker.url, where: database.where });
  await aborted(signal);
  log.info({ signal: signal.reason }, "stopping: no new claims, calls under way may finish");
  const limitMs = config.shutdownTimeoutMs + STOP_MARGIN_MS;
  const stopped = await Promise.race([broker.stop().then(() => true), sleep(limitMs, false, { ref: false })]);
  if (stopped) log.info("stopped");
  else log.error({ limit_ms: limitMs }, "not stopped in time; leaving calls behind");
  return stopped ? EXIT.ok : EXIT.failed;
}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  else signal.addEventListener("abort", () => resolve(), { once: true });
  return promise;
}

function warnIfOpen(config: Config, log: Logger): void {
  if (isLoopback(config.host) || config.tlsCertFile !== undefined) return;
  log.warn(
    { host: config.host },
    "HOST can be reached from outside and there is no TLS: tokens and payloads travel in the clear. " +
      "Set TLS_CERT_FILE and TLS_KEY_FILE, or put a proxy that speaks TLS in front",
  );
}
