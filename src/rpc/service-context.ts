/** What the services stand on. They hold no rules: they check a request, call a move or a read, and convert the answer. */
import type { Moves } from "../dispatch/moves.ts";
import type { StatsWatches } from "../dispatch/stats-watch.ts";
import type { Streams } from "../dispatch/streams.ts";
import type { Watches } from "../dispatch/watch.ts";
import type { DryRun, StartResult } from "../job/ec2-states.ts";
import type { Database } from "../store/db.ts";
import type { WebhookCalls } from "../webhooks/create-webhooks.ts";

/** Limits that are settings; the fixed ones are in job/limits.ts. */
export interface ServiceLimits {
  maxPayloadBytes: number;
  maxResultBytes: number;
  /** Of all texts in one request. The transport's own limit must be larger, for its answer reads as 'try again'. */
  maxRequestBytes: number;
  maxAnswerBytes: number;
  leaseMs: number;
  shimLeaseMs: number;
  defaultMaxAttempts: number;
  /** Refuse job types that have no typed payload. */
  strictTypes: boolean;
  /** A worker from which nothing comes is pinged after the first and given up after the second. */
  pingMs: number;
  silenceMs: number;
  maxFramesPerSecond: number;
  /** WatchJobs streams at a time, and as many of WatchStats, and how long each may be without a message. */
  maxWatches: number;
  watchHeartbeatMs: number;
  /** How long one may leave what waits for it unread. */
  watchStallMs: number;
  /** Connections that this broker may open. */
  databaseConnections: number;
}

/** Which broker this is. */
export interface Identity {
  version: string;
  instanceId: string;
  startedAt: Date;
}

/** A setting as operators are shown it: of a secret only how many there are. */
export interface ShownSetting {
  name: string;
  value: string;
  about: string;
  secret: boolean;
}

export interface ServiceContext {
  moves: Moves;
  streams: Pick<Streams, "hellos" | "sessions">;
  watches: Pick<Watches, "watch" | "now">;
  statsWatches: Pick<StatsWatches, "watch">;
  db: Database;
  limits: ServiceLimits;
  identity: Identity;
  /** Starts workers' EC2 instances by hand; no ids: all that are configured. Throws BAD_FIELD for one that is not. */
  startWorkers?: (instanceIds: readonly string[]) => Promise<StartResult[]>;
  /** Which instances those are, whether they are only said to be started, and which were; absent: none are configured. */
  starts?: { instanceIds: readonly string[]; dryRun: boolean; dryRuns: () => readonly DryRun[] };
  /** Whether the caller's token only reads; absent: none does. */
  isReadOnly?: (requestHeader: Pick<Headers, "get">) => boolean;
  settings?: readonly ShownSetting[];
  /** Looks at an endpoint's address, and sends it a test event. */
  webhooks?: WebhookCalls;
  /** Told of each call of a worker and each message on its stream; null types: those of its last claim stand. */
  seen?: (workerId: string, types: string[] | null, legacy: boolean) => void;
}
