/** The settings as the program reads them: the only place that reads the environment; config/settings.ts has the list. */
import type { z } from "zod";
import { nearMisses } from "./config/near-miss.ts";
import { RULES } from "./config/rules.ts";
import type { Setting } from "./config/setting.ts";
import { type Key, type Settings, settings } from "./config/settings.ts";

/** The settings as the program uses them: times in ms, sizes in bytes, paths absolute; frozen. */
export type Config = Readonly<Settings>;

/** What the client commands need; a wrong setting of the broker does not stop them. */
export type ClientConfig = Pick<Config, keyof typeof CLIENT>;

const CLIENT = {
  brokerUrl: true,
  brokerToken: true,
  brokerCertFile: true,
  brokerKeyFile: true,
  dataDir: true,
} as const;

export type Environment = Record<string, string | undefined>;

// A rule is also looked at when other settings are wrong, so that one message names all faults.
const schema = RULES.reduce(
  (rest, rule) =>
    rest.refine(rule.holds, {
      message: rule.fault,
      when: ({ issues }) => !issues.some((issue) => rule.keys.includes(issue.path?.[0] as Key)),
    }),
  settings,
);

export { DEFAULT_BROKER_URL, type Setting } from "./config/setting.ts";

/** Every setting, in the order of the help. */
export function listSettings(): Setting[] {
  return (Object.keys(settings.shape) as Key[]).map(settingOf);
}

function settingOf(key: Key): Setting {
  return settings.shape[key].meta()?.["setting"] as Setting;
}

/** A setting as operators may see it. */
export interface ShownSetting {
  name: string;
  /** As the program uses it: times in ms, sizes in bytes; of a secret only how many there are; empty: unset. */
  value: string;
  about: string;
  secret: boolean;
}

/** The broker's own, in the order of the help. */
export function shownSettings(config: Config): ShownSetting[] {
  return (Object.keys(settings.shape) as Key[]).flatMap((key) => {
    const { env: name, about, secret = false, client } = settingOf(key);
    return client ? [] : [{ name, value: shownValue(config[key], secret), about, secret }];
  });
}

function shownValue(value: Config[Key], secret: boolean): string {
  const values = Array.isArray(value) ? value : value === undefined ? [] : [value];
  if (secret) return values.length === 0 ? "" : `${values.length} set`;
  return values.join(",");
}

/** A start that cannot be: the message names every wrong setting, and no secret. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** This process's environment. */
export function environment(): Environment {
  return { ...process.env };
}

/** Reads all settings; an empty one counts as unset. Throws ConfigError, which names all faults at once. */
export function loadConfig(env: Environment = environment()): Config {
  const given = givenIn(env);
  const parsed = schema.safeParse(given);
  if (!parsed.success) throw explain(parsed.error, given);
  return Object.freeze(parsed.data);
}

/** Reads the settings of the client commands. Throws ConfigError, which names all faults at once. */
export function loadClientConfig(env: Environment = environment()): ClientConfig {
  const given = givenIn(env);
  const parsed = settings.pick(CLIENT).safeParse(given);
  if (!parsed.success) throw explain(parsed.error, given);
  return Object.freeze(parsed.data);
}

/** One line for each variable that looks like a slip of a setting's name. */
export function configWarnings(env: Environment = environment()): string[] {
  const known = listSettings().map((setting) => setting.env);
  const set = Object.keys(env).filter((name) => env[name] !== undefined && env[name] !== "");
  return nearMisses(set, known).map(({ given, meant }) => `${given} is set but unknown; did you mean ${meant}?`);
}

function givenIn(env: Environment): Partial<Record<Key, string>> {
  const given: Partial<Record<Key, string>> = {};
  for (const key of Object.keys(settings.shape) as Key[]) {
    const value = env[settingOf(key).env]?.trim();
    if (value) given[key] = value;
  }
  return given;
}

function explain(error: z.ZodError, given: Partial<Record<Key, string>>): ConfigError {
  const lines = new Set(
    error.issues.map((issue) => {
      const key = issue.path[0] as Key | undefined;
      if (key === undefined) return issue.message;
      const { env, allowed, fallback, secret } = settingOf(key);
      const what = secret ? "the value (not shown)" : shown(given[key] ?? "");
      return `${env}: ${what} will not do; give ${allowed}${fallback ? ` (default ${fallback})` : ""}`;
    }),
  );
  const count = lines.size === 1 ? "a setting is" : `${lines.size} settings are`;
  return new ConfigError(`${count} wrong:\n${[...lines].map((line) => `  ${line}`).join("\n")}`);
}

/** A value as a message may hold it: short, on one line, without a URL's password. */
function shown(value: string): string {
  const looksLikeUrl = value.includes("://") || value.includes("@") || /pass/i.test(value);
  if (looksLikeUrl) return "the value (not shown, it may hold a password)";
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}
