/**
 * A whole broker: pools, moves, the port, the loops. Wires everything and decides nothing; start and stop in order.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { openBrokerDatabase } from "./broker/database.ts";
import { loopSettings, moveSettings, serviceLimits, streamSettings, tlsFiles } from "./broker/settings.ts";
import type { Config } from "./config.ts";
import { createBell } from "./dispatch/bell.ts";
import { createMoves } from "./dispatch/create-moves.ts";
import { createLostClaims } from "./dispatch/lost-claims.ts";
import type { BrokerMoves } from "./dispatch/moves.ts";
import { nudging } from "./dispatch/recorder.ts";
import { createSeen } from "./dispatch/seen.ts";
import { createStatsWatches } from "./dispatch/stats-watch.ts";
import { createStreams } from "./dispatch/streams.ts";
import { traced } from "./dispatch/traced.ts";
import { Waiters } from "./dispatch/waiters.ts";
import { createWatches } from "./dispatch/watch.ts";
import { brokerLoops } from "./loops/broker-loops.ts";
import { createEc2 } from "./loops/ec2.ts";
import { startLoop } from "./loops/loop.ts";
import { createMetrics } from "./metrics/create-metrics.ts";
import { createShim, SHIM_PATHS } from "./rest/shim.ts";
import { createGate, createReadOnly } from "./rpc/auth.ts";
import { describeBug, REASONS } from "./rpc/errors.ts";
import { createMetricsPage, METRICS_PATH } from "./rpc/metrics-page.ts";
import { observeCalls } from "./rpc/observe-calls.ts";
import { createPageGate } from "./rpc/page-gate.ts";
import { createRoutes } from "./rpc/routes.ts";
import { startServer } from "./rpc/server.ts";
import type { ServiceContext, ShownSetting } from "./rpc/service-context.ts";
import { due } from "./store/due.ts";
import { createLaneStarts, fromStarts } from "./store/lane-starts.ts";
import { ping } from "./store/ping.ts";
import { brokerSeen, forgetBroker } from "./store/sessions.ts";
import { statsNow } from "./store/stats-now.ts";
import { createTokens } from "./tokens.ts";
import { packageVersion } from "./version.ts";
import { createDashboard, DASHBOARD_PATH } from "./web/dashboard.ts";
import { createWebhooks } from "./webhooks/create-webhooks.ts";
import type { EventHandler } from "./webhooks/handlers.ts";

export interface BrokerOptions {
  config: Config;
  databaseUrl: string;
  log: Logger;
  /** Told of events within this process. */
  handlers?: readonly EventHandler[];
  /** The settings as operators are shown them; absent: none are. */
  settings?: readonly ShownSetting[];
}

export interface RunningBroker {
  /** For clients on this machine, for example http://127.0.0.1:50051. */
  url: string;
  port: number;
  /** Takes no new calls, lets those under way finish within SHUTDOWN_TIMEOUT_MS, then closes everything. */
  stop(): Promise<void>;
}

const BELL_GAP_MS = 50;
/** How soon watchers hear of what other brokers did. */
const EVENTS_POLL_MS = 250;
/** How soon those who watch the numbers hear of others. */
const STATS_EVERY_MS = 2_000;
/** Of SHUTDOWN_TIMEOUT_MS, for streams to end by themselves. */
const STREAMS_SHARE = 0.8;
/** Above what handlers check by themselves, since the transport's own answer to a large message reads as 'retry'. */
const TRANSPORT_ROOM = 2;

/** Starts a broker on a database whose schema is current. Rejects with a readable Error where the port is taken. */
export async function startBroker({ config, log: parent, ...rest }: BrokerOptions): Promise<RunningBroker> {
  // Postgres' own errors quote rows and parameters, so payloads: only what is fit to be read gets into the log.
  // What is described already comes as a list; described again it would read 'not an Error was thrown'.
  const describe = (err: unknown) => (Array.isArray(err) ? err : describeBug(err));
  const log = parent.child({}, { serializers: { err: describe } });
  const core = createCore({ config, log, ...rest });
  const { db, moves, seen, streams, waiters, identity } = core;
  const routes = createRoutes(serviceContext(core, config, rest.settings));
  const server = await listen(config, log, core, routes.register).catch(async (err) => {
    await closeCore(core);
    throw err;
  });
  const onDatabase = watchDatabase((up) => {
    routes.setServing(up);
    core.metrics.databaseUp(up);
  }, log);
  // Who is told the address may ask at once.
  onDatabase(
    await ping(db.reserved)
      .then(() => brokerSeen(db.reserved, identity.instanceId))
      .then(core.webhooks.ready)
      .then(() => null)
      .catch((err: unknown) => err),
  );
  const loops = brokerLoops({
    db,
    moves,
    seen,
    streams,
    brokerId: identity.instanceId,
    ...loopSettings(config, log),
    lookAtTls: server.lookAtTls,
    ec2Loops: core.ec2.loops,
    webhookLoops: core.webhooks.loops,
    onDatabase,
    onDrift: (repaired) =>
      log.warn({ repaired }, "the queue tables had drifted from ai_job and were mended; run `ai-job-broker doctor`"),
  }).map((loop) => startLoop(loop, log));
  return {
    url: server.url,
    port: server.port,
    stop: async () => {
      // The order: nobody new, long polls answer, streams and calls end, loops end, what is left in memory is written.
      server.drain();
      waiters.stop();
      // Streams end before the server's own deadline, which cuts.
      const [clean] = await Promise.all([
        server.stop(config.shutdownTimeoutMs),
        streams.drain(config.shutdownTimeoutMs * STREAMS_SHARE),
        core.webhooks.stop(config.shutdownTimeoutMs * STREAMS_SHARE),
      ]);
      if (!clean) log.warn("SHUTDOWN_TIMEOUT_MS passed with calls under way; they were cut off");
      await Promise.all(loops.map((stop) => stop()));
      await closeCore(core);
    },
  };
}

/** What the RPCs stand on. */
function serviceContext(core: Core, config: Config, settings: readonly ShownSetting[] = []): ServiceContext {
  const { db, moves, seen, streams, identity } = core;
  return {
    moves,
    streams,
    watches: core.watches,
    db,
    limits: serviceLimits(config),
    identity,
    statsWatches: core.statsWatches,
    startWorkers: core.ec2.start,
    starts: { instanceIds: config.ec2InstanceIds, dryRun: config.ec2DryRun, dryRuns: core.ec2.dryRuns },
    isReadOnly: createReadOnly(createTokens(config.apiTokens)),
    settings: settings,
    webhooks: core.webhooks,
    seen: seen.note,
  };
}

/** All but the port and the loops. */
function createCore({ config, databaseUrl, log, handlers = [] }: BrokerOptions) {
  const db = openBrokerDatabase(config, databaseUrl, log);
  const identity = { version: packageVersion(), instanceId: randomUUID(), startedAt: new Date() };
  const closing = new AbortController();
  // What was under way when the pools close fails, and nobody looks again then.
  const onError = (err: unknown) =>
    closing.signal.aborted || log.warn({ err }, "the queue could not be watched; it is looked at again soon");
  const starts = createLaneStarts({ db, onError, onSurvey: () => waiters.lookNow() });
  const look = (limit: number) => fromStarts(starts, [], (from) => due(db.sql, limit, from));
  const waiters = new Waiters({ look, pollMs: config.pollEveryMs, onError });
  const bell = createBell({
    sql: db.sql,
    direct: db.direct,
    instanceId: identity.instanceId,
    gapMs: BELL_GAP_MS,
    onRing: () => waiters.lookNow(),
    onError,
  });
  const metrics = createMetrics({
    db,
    version: identity.version,
    reasons: REASONS,
    poolSizes: { main: config.databasePool, reserved: config.databaseReservedPool },
    streams: () => streams.sessions,
  });
  const watches = createWatches({ sql: db.sql, pollMs: EVENTS_POLL_MS, onError });
  const statsWatches = createStatsWatches({ read: () => statsNow(db), everyMs: STATS_EVERY_MS, onError });
  const record = nudging(traced(metrics.record), watches.nudge, () => webhooks.nudge());
  const { statementTimeoutMs } = config;
  const lost = createLostClaims({ db, log, statementTimeoutMs, giveBack: (...leases) => moves.giveBack(...leases) });
  const streams = createStreams({
    db,
    starts,
    lost,
    brokerId: identity.instanceId,
    waiters,
    log,
    moves: (): BrokerMoves => moves,
    ...streamSettings(config),
    record,
    onError,
  });
  const moves = createMoves({
    db,
    starts,
    lost,
    waiters,
    bell,
    news: streams.news,
    log,
    record,
    ...moveSettings(config),
  });
  const ec2 = createEc2({ db, log, brokerId: identity.instanceId, settings: config });
  const webhooks = createWebhooks({ db, identity, settings: config, handlers, log, recorder: metrics.webhooks });
  const seen = createSeen();
  const watched = { waiters, bell, lost, streams, watches, statsWatches };
  return { db, log, identity, ...watched, metrics, moves, ec2, webhooks, seen, closing };
}

type Core = ReturnType<typeof createCore>;

async function closeCore({
  db,
  identity,
  waiters,
  bell,
  streams,
  watches,
  statsWatches,
  ...rest
}: Core): Promise<void> {
  const { seen, lost, closing, log } = rest;
  closing.abort();
  waiters.stop();
  statsWatches.stop();
  await streams.stop();
  await watches.stop();
  await bell.stop();
  // Nobody looks for it again before its lease runs out.
  const unsettled = (err: unknown) => log.warn({ err }, "what has no answer may run out with its lease");
  await lost.settle().catch(unsettled);
  const unsaid = (err: unknown) =>
    log.warn({ err }, "the database could not be told that this broker ends; it finds out");
  await forgetBroker(db.sql, identity.instanceId).catch(unsaid);
  await seen.flush(db.sql).catch(unsaid);
  await db.close();
}

function listen(
  config: Config,
  log: Logger,
  { metrics, moves, seen }: Core,
  routes: Parameters<typeof startServer>[0]["routes"],
) {
  const workerTokens = createTokens(config.workerTokens);
  const apiTokens = createTokens(config.apiTokens);
  const readTokens = createTokens(config.readTokens);
  const gate = createGate({ workerTokens, apiTokens, readTokens, openIntrospection: config.openIntrospection });
  const { calls } = metrics;
  const page = createMetricsPage({ scrape: metrics.scrape, gate, isOpen: config.metricsOpen, calls });
  const shim = createShim({
    moves,
    workerTokens,
    maxBodyBytes: config.shimMaxBodyBytes,
    log,
    seen: (workerId) => seen.note(workerId, null, true),
    failed: calls.failed,
  });
  const refused = createPageGate({ gate, opensTo: "readers", name: "ui", calls });
  const folder = config.dashboardImages;
  const images = folder === undefined ? undefined : { folder, refused };
  const dashboard = config.dashboard ? createDashboard({ images, failed: calls.failed }) : () => false;
  return startServer({
    host: config.host,
    port: config.port,
    tlsFiles: tlsFiles(config),
    routes,
    rest: async (req, res) => (await page(req, res)) || (await dashboard(req, res)) || (await shim(req, res)),
    restPaths: [...SHIM_PATHS, METRICS_PATH, ...(config.dashboard ? [DASHBOARD_PATH] : [])],
    corsOrigins: config.corsOrigins,
    gate,
    interceptors: [observeCalls(log, calls)],
    calls,
    maxMessageBytes: config.maxRequestBytes * TRANSPORT_ROOM,
    log,
  });
}

/** Health follows the database; one log line for each change, not one a second. */
function watchDatabase(setServing: (serving: boolean) => void, log: Logger): (err: unknown) => void {
  let up: boolean | undefined;
  return (err) => {
    const now = err === null;
    setServing(now);
    if (up !== now && !now)
      log.error(
        { reason: "DATABASE_DOWN", err },
        "the database does not answer; calls get UNAVAILABLE until it is back",
      );
    if (up === false && now) log.info("the database is back");
    up = now;
  };
}
