/** What each part of a broker takes of its configuration. */
import type { Logger } from "pino";
import type { Config } from "../config.ts";

/** Beside the two pools: lists, retention and LISTEN. */
const OTHER_CONNECTIONS = 4;

/** How leases, retries and events are. */
export function moveSettings(config: Config) {
  return {
    leaseMs: config.leaseTtlMs,
    shimLeaseMs: config.shimLeaseTtlMs,
    backoff: { baseMs: config.backoffBaseMs, maxMs: config.backoffMaxMs, jitter: config.backoffJitter },
    maxDeliveries: config.maxDeliveries,
    cancelGraceMs: config.cancelGraceMs,
    maxAnswerBytes: config.maxAnswerBytes,
    maxPending: config.maxPending,
    keptKinds: new Set(config.eventKinds),
  };
}

/** How long streams are waited for, and how many there are. */
export function streamSettings(config: Config) {
  return {
    limits: {
      maxStreams: config.workMaxStreams,
      pingMs: config.workPingMs,
      silenceMs: config.workSilenceMs,
      ackMs: config.workAckTimeoutMs,
    },
    leaseMs: config.leaseTtlMs,
    maxAnswerBytes: config.maxAnswerBytes,
    pollMs: config.pollEveryMs,
    keptKinds: new Set(config.eventKinds),
  };
}

/** When the loops do what. */
export function loopSettings(config: Config, log: Logger) {
  return {
    streamsEveryMs: Math.min(1_000, config.workPingMs, config.workSilenceMs / 4, config.workAckTimeoutMs / 4),
    reclaimEveryMs: config.reclaimEveryMs,
    eventDays: config.eventRetentionDays,
    retention: { days: config.retentionDays, mode: config.retentionMode, log },
  };
}

/** What a call may ask for. */
export function serviceLimits(config: Config) {
  return {
    maxPayloadBytes: config.maxPayloadBytes,
    maxResultBytes: config.maxResultBytes,
    maxRequestBytes: config.maxRequestBytes,
    maxAnswerBytes: config.maxAnswerBytes,
    leaseMs: config.leaseTtlMs,
    shimLeaseMs: config.shimLeaseTtlMs,
    defaultMaxAttempts: config.defaultMaxAttempts,
    strictTypes: config.strictTypes,
    pingMs: config.workPingMs,
    silenceMs: config.workSilenceMs,
    maxFramesPerSecond: config.workMaxFramesPerSecond,
    maxWatches: config.watchMaxStreams,
    watchHeartbeatMs: config.watchHeartbeatMs,
    watchStallMs: config.watchStallMs,
    databaseConnections: config.databasePool + config.databaseReservedPool + OTHER_CONNECTIONS,
  };
}

/** Undefined: no TLS. */
export function tlsFiles({ tlsCertFile: cert, tlsKeyFile: key, tlsClientCaFile: clientCa }: Config) {
  return cert === undefined || key === undefined ? undefined : { cert, key, clientCa };
}
