/** The embedding API: the same broker as `serve`, and handlers of events in its process. */
import pino, { type Logger } from "pino";
import { type RunningBroker, startBroker } from "../broker.ts";
import { loadConfig, shownSettings } from "../config.ts";
import { EVENT_KINDS, type EventKind } from "../job/events.ts";
import { openPool } from "../store/db.ts";
import { migrate, schemaState } from "../store/migrate.ts";
import type { BrokerEvent, EventHandler } from "../webhooks/handlers.ts";

export interface EmbeddedBrokerOptions {
  /** Settings, named as in the environment, which is read where this is absent. DATABASE_URL must be among them. */
  settings?: Record<string, string | undefined>;
  /** Bring the database's schema up to date at the start; else a start refuses one that is not. */
  migrate?: boolean;
  /** The broker's log; default: JSON lines on stderr, from LOG_LEVEL on. */
  logger?: Logger;
}

export interface OnOptions {
  /**
   * What the handler has been told is remembered under this name, in the database: it goes on from there after a crash,
   * and of several brokers that have it one tells it each event. Default: the kind.
   */
  name?: string;
  /** Only jobs of these types; absent: of any. */
  types?: string[];
  /** A call that takes longer has failed, and its signal is aborted. Default 60 s. */
  timeoutMs?: number;
}

/**
 * Told at least once of each event, those of one job in their order; what it throws has the event come again after a
 * while, as webhooks do. To do a thing once, remember `event.eventId` in the transaction that does it.
 */
export type OnEvent = (event: BrokerEvent, signal: AbortSignal) => unknown;

export interface EmbeddedBroker extends AsyncDisposable {
  /** Adds a handler; before the start. A new name is told what happens from its first start on. */
  on(
    kind: EventKind | readonly EventKind[],
    ...rest: [handler: OnEvent] | [options: OnOptions, handler: OnEvent]
  ): EmbeddedBroker;
  /** Answers when the port is open. */
  start(): Promise<{ url: string; port: number }>;
  /** Ends as `serve` does on SIGTERM; handlers that run get to their end within SHUTDOWN_TIMEOUT_MS. */
  stop(): Promise<void>;
}

const TIMEOUT_MS = 60_000;

/** Makes a broker; nothing happens before `start`. Throws ConfigError for wrong settings, naming each. */
export function createBroker(options: EmbeddedBrokerOptions = {}): EmbeddedBroker {
  const config = loadConfig(options.settings);
  const handlers = new Map<string, EventHandler>();
  let starting: Promise<RunningBroker> | undefined;
  const broker: EmbeddedBroker = {
    on(kind, ...rest) {
      if (starting !== undefined) throw new Error("the broker has been started: call on() before start()");
      const handler = handlerOf(typeof kind === "string" ? [kind] : [...kind], rest);
      if (handlers.has(handler.name)) {
        throw new Error(`there are two handlers named ${handler.name}: give each a name of its own ({ name: "…" })`);
      }
      handlers.set(handler.name, handler);
      return broker;
    },
    async start() {
      starting ??= run([...handlers.values()]);
      const { url, port } = await starting;
      return { url, port };
    },
    async stop() {
      await (await starting?.catch(() => undefined))?.stop();
    },
    [Symbol.asyncDispose]: () => broker.stop(),
  };
  return broker;

  async function run(all: EventHandler[]): Promise<RunningBroker> {
    const { databaseUrl } = config;
    if (databaseUrl === undefined) throw new Error("DATABASE_URL is not set: an embedded broker brings no database");
    if (options.migrate === true) await migrate(config.databaseDirectUrl ?? databaseUrl);
    else await refuseOldSchema(databaseUrl);
    const log = options.logger ?? pino({ level: config.logLevel }, pino.destination(2));
    return await startBroker({ config, databaseUrl, log, handlers: all, settings: shownSettings(config) });
  }
}

function handlerOf(kinds: EventKind[], rest: [OnEvent] | [OnOptions, OnEvent]): EventHandler {
  const unknown = kinds.find((kind) => !EVENT_KINDS.includes(kind));
  if (unknown !== undefined || kinds.length === 0) {
    throw new Error(`no event is of the kind ${unknown ?? "(none given)"}: use ${EVENT_KINDS.join(", ")}`);
  }
  const [options, handle] = rest.length === 1 ? [{}, rest[0]] : rest;
  const { name = kinds.join("+"), types = [], timeoutMs = TIMEOUT_MS } = options;
  // The rest of the row's id says what it is.
  if (!/^[\w.+-]{1,50}$/.test(name)) throw new Error(`a handler's name is 1..50 of A-Z a-z 0-9 _ . + -, got ${name}`);
  return { name, kinds, types, timeoutMs, handle };
}

async function refuseOldSchema(url: string): Promise<void> {
  const sql = openPool({ url, statementTimeoutMs: 60_000, lockTimeoutMs: 5_000 }, 1);
  try {
    const { state, detail } = await schemaState(sql);
    if (state !== "current") throw new Error(detail);
  } finally {
    await sql.end({ timeout: 1 });
  }
}
