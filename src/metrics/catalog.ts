/** Every metric of ours: what docs/operations.md, the dashboard and the alerts may name. No label has an open set. */

export interface MetricFacts {
  type: "gauge" | "counter" | "histogram";
  labels: readonly string[];
  help: string;
}

export const CATALOG = {
  aibroker_build_info: { type: "gauge", labels: ["version", "node"], help: "1, with the versions that run." },
  aibroker_database_up: {
    type: "gauge",
    labels: [],
    help: "Whether the database answered the last look, each second.",
  },
  aibroker_jobs: {
    type: "gauge",
    labels: ["type", "state"],
    help: "Jobs in the database: due, scheduled (PENDING, not due yet) or running. Each broker says the same.",
  },
  aibroker_oldest_pending_age_seconds: {
    type: "gauge",
    labels: ["type"],
    help: "How long the oldest due job has been due; 0 when none is. Each broker says the same.",
  },
  aibroker_oldest_xmin_age_seconds: {
    type: "gauge",
    labels: [],
    help: "How long the oldest snapshot in the database has been held: nothing that died since can be vacuumed away.",
  },
  aibroker_moves_total: {
    type: "counter",
    labels: ["move", "outcome", "type"],
    help: "What moves did to jobs, by this broker.",
  },
  aibroker_reclaims_total: { type: "counter", labels: [], help: "Leases that were taken back by this broker." },
  aibroker_lease_losses_total: {
    type: "counter",
    labels: ["seen_by"],
    help: "Times that a worker was told that its lease is lost, by report (LEASE_LOST) or heartbeat (LOST).",
  },
  aibroker_assign_seconds: {
    type: "histogram",
    labels: ["type"],
    help: "From the time a job was due (dispatch, run_at or retry) to its lease, by the database's clock.",
  },
  aibroker_done_seconds: {
    type: "histogram",
    labels: ["type"],
    help: "From the dispatch of a job to its DONE, of jobs that this broker handed out and that are reported here.",
  },
  aibroker_statement_seconds: {
    type: "histogram",
    labels: ["move"],
    help: "How long the moves' statements took, the wait for a connection and tries after deadlocks included.",
  },
  aibroker_batch_size: {
    type: "histogram",
    labels: ["move"],
    help: "Items in one statement: jobs dispatched, leases claimed, reports, heartbeats.",
  },
  aibroker_statements_in_flight: {
    type: "gauge",
    labels: ["pool"],
    help: "Statements of moves that run or wait for a connection: more than aibroker_pool_size means that some wait.",
  },
  aibroker_pool_size: { type: "gauge", labels: ["pool"], help: "Connections that a pool may have." },
  aibroker_streams_open: { type: "gauge", labels: [], help: "Work streams on this broker." },
  aibroker_seats: {
    type: "gauge",
    labels: ["state"],
    help: "Room for jobs on this broker's streams: used, and free (would take a job now).",
  },
  aibroker_calls_total: { type: "counter", labels: ["method"], help: "RPCs that reached a handler and have ended." },
  aibroker_errors_total: {
    type: "counter",
    labels: ["method", "reason"],
    help: "Errors that were answered, by the reasons of docs/errors.md.",
  },
} as const satisfies Record<string, MetricFacts>;

/** Those of webhooks, on a broker that delivers some. */
export const WEBHOOK_CATALOG = {
  aibroker_webhook_tries_total: { type: "counter", labels: ["outcome"], help: "Tries to deliver an event." },
  aibroker_webhook_try_seconds: { type: "histogram", labels: [], help: "How long endpoints took to answer." },
  aibroker_webhook_age_seconds: { type: "histogram", labels: [], help: "From an event to its delivery." },
} as const satisfies Record<string, MetricFacts>;

export type MetricName = keyof typeof CATALOG;
export type WebhookMetricName = keyof typeof WEBHOOK_CATALOG;
