/** The log: JSON lines on stderr, so that stdout holds only the address; for people when `dev` runs on a terminal. */
import { createRequire } from "node:module";
import { destination, type Logger, pino } from "pino";

export interface LoggerOptions {
  level: string;
  /** For a person at a terminal, where pino-pretty is installed. */
  pretty: boolean;
}

/**
 * A write for each line is a turn of the thread pool, and the broker writes several lines a job when it is not busy: lines
 * are written together, at the latest after this time. The end of the process writes what is left.
 */
const TOGETHER = { minLength: 8_192, periodicFlush: 100 };

export function createLogger(options: LoggerOptions): Logger {
  const settings = {
    level: options.level,
    base: { pid: process.pid },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  const pretty = options.pretty ? prettyStream() : undefined;
  return pretty ? pino(settings, pretty) : pino(settings, destination({ dest: 2, ...TOGETHER }));
}

function prettyStream(): NodeJS.WritableStream | undefined {
  try {
    // A tool of the checkout, not a dependency: an installed package prints plain JSON.
    const prettify = createRequire(import.meta.url)("pino-pretty") as (options: object) => NodeJS.WritableStream;
    return prettify({ destination: 2, sync: true, ignore: "pid", translateTime: "SYS:HH:MM:ss.l", singleLine: true });
  } catch {
    return undefined;
  }
}
