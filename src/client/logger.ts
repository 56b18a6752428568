/** What the SDK needs of a logger: pino's calls, so that a pino logger fits as it is. */

type Write = (facts: object, message?: string) => void;

export interface Logger {
  debug: Write;
  info: Write;
  warn: Write;
  error: Write;
}

const nothing = () => undefined;

/** Says nothing: the default. */
export const SILENT: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** A logger that adds the same facts to each line. */
export function withFacts(logger: Logger, facts: object): Logger {
  const add =
    (level: keyof Logger): Write =>
    (more, message) =>
      logger[level]({ ...facts, ...more }, message);
  return { debug: add("debug"), info: add("info"), warn: add("warn"), error: add("error") };
}
